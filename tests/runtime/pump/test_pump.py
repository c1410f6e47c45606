"""The pump with a real core and real sockets; what it is told comes from threads, as handshakes are."""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from meshcache import hot
from meshcache.core.replication.publisher_fast_path import ReadyPush
from meshcache.core.values.events import PolicyChanged
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import Outcome
from meshcache.edges.keyring import Keyring
from meshcache.runtime.pump import pump as module
from meshcache.runtime.pump import pump_sleep
from meshcache.runtime.pump.compiled_sleep import compiled_sleep
from meshcache.runtime.pump.pump import READ_MAX, READ_S_MAX
from tests.support.pump_ends import DER, End, meet
from tests.support.waiting import wait_until

IN_C = hot.compiled is not None and hasattr(hot.compiled, "Inflow")


@pytest.fixture(params=["c", "python"])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[End, End]]:
    """Two whose pumps sleep, read and file in C, or in Python."""
    if request.param == "c" and not IN_C:
        pytest.skip(hot.why_not or "there is none here")
    if request.param == "python":
        monkeypatch.setattr(module, "compiled_sleep", no_compiled_sleep)
    yield from two_that_met()


@pytest.fixture
def python_ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[End, End]]:
    """Two whose steps are all Python's, so that they can be counted."""
    monkeypatch.setattr(module, "compiled_sleep", no_compiled_sleep)
    yield from two_that_met()


def two_that_met() -> Iterator[tuple[End, End]]:
    keyring = Keyring.new()
    one, other = End("edge-1", keyring), End("edge-2", keyring)
    meet(one, other)
    yield one, other
    for end in (one, other):
        end.close()


def no_compiled_sleep(*_parts: object) -> None:
    """There is no way in C."""


def test_sessions_travel_between_cores(ends: tuple[End, End]) -> None:
    one, other = ends
    ids = [os.urandom(32) for _ in range(500)]
    for session_id in ids:
        one.make(session_id)
    wait_until(lambda: all(map(other.has, ids)))
    found = other.core.lookup("shop", ids[0], time.monotonic())
    assert (found.outcome, found.session and found.session.der) == (Outcome.REMOTE, DER)


def test_a_single_session_leaves_on_the_thread_that_made_it(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = ends
    ids: list[bytes] = []
    threads: list[str] = []
    send = one.transport.send

    def noted(address: str, payload: bytes) -> bool:
        if len(payload) > len(DER):
            threads.append(threading.current_thread().name)
        return send(address, payload)

    monkeypatch.setattr(one.transport, "send", noted)

    def made_and_sent_here() -> bool:
        """The pump sends what comes while it is about to; a handshake that meets nobody sends its own."""
        ids.append(os.urandom(32))
        one.make(ids[-1])
        return threading.current_thread().name in threads

    wait_until(made_and_sent_here)
    wait_until(lambda: all(map(other.has, ids)))


def ready(other: End, payload: bytes, *more: str) -> ReadyPush:
    return ReadyPush(payload, 1, [other.transport.address, *more], time.monotonic())


def test_a_push_that_was_written_elsewhere_leaves_on_the_thread_that_brings_it(ends: tuple[End, End]) -> None:
    one, other = ends
    taken: list[bool] = []
    before = other.core.stats(time.monotonic())["gossip"]["dropped"]

    def take() -> ReadyPush:
        taken.append(one.pump.lock.locked() and one.pump.sending.locked())
        return ready(other, b"no message at all")

    wait_until(lambda: one.pump.push(take))
    assert taken[-1], "with both locks"
    wait_until(lambda: other.core.stats(time.monotonic())["gossip"]["dropped"] != before)
    assert not one.pump.push(lambda: None)


def test_while_another_thread_sends_or_where_there_are_many_links_no_push_is_taken(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = ends

    def take() -> ReadyPush:
        raise AssertionError("it would have to be sent")

    with one.pump.sending:
        assert not one.pump.push(take)
    monkeypatch.setattr(module, "INLINE_LINKS_MAX", 0)
    assert not one.pump.push(take)


def test_a_peer_that_takes_no_push_is_left_alone_for_a_while(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = ends
    monkeypatch.setattr(one.transport, "send_each", lambda addresses, _payload: addresses)
    wait_until(lambda: one.pump.push(lambda: ready(other, b"x", "127.0.0.1:1")))
    (peer,) = one.core.duties.members
    assert peer.blocked_until > 0
    assert one.core.stats(time.monotonic())["gossip"]["dropped"]["not_sent"] == 1, "nobody is at the other address"


def arrives_before_a_timer(one: End, other: End) -> bool:
    """Whether one of a few sessions arrived in half of the second between two timers.

    Each is made when the one before has arrived, so if a timer brought them, each but the first would take a second.
    """
    took_s: list[float] = []
    while len(took_s) < 10 and not any(took < 0.5 for took in took_s[1:]):
        session_id, begun = os.urandom(32), time.monotonic()
        one.make(session_id)
        wait_until(lambda session_id=session_id: other.has(session_id))
        took_s.append(time.monotonic() - begun)
    return any(took < 0.5 for took in took_s[1:])


def test_with_many_links_the_pump_sends(ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = ends
    monkeypatch.setattr(module, "INLINE_LINKS_MAX", 0)
    assert arrives_before_a_timer(one, other)


def test_while_another_thread_sends_nobody_waits_and_nothing_is_forgotten(ends: tuple[End, End]) -> None:
    one, other = ends
    session_id = os.urandom(32)
    with one.pump.sending:
        began = time.monotonic()
        one.make(session_id)
        assert time.monotonic() - began < 0.5
    wait_until(lambda: other.has(session_id))


def test_what_has_arrived_is_read_at_once_by_who_asks(
    python_ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = python_ends
    with monkeypatch.context() as slow:
        slow.setattr(other.transport, "receive", lambda _count: [])
        session_id = os.urandom(32)
        one.make(session_id)

        def asked() -> bool:
            other.pump.read_what_is_here()
            return other.has(session_id)

        wait_until(asked)
    other.pump.wake()


@pytest.mark.parametrize("patience_s", [READ_S_MAX, 0.0])
def test_who_reads_reads_for_a_bounded_time_and_leaves_the_rest_to_the_pump(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch, patience_s: float
) -> None:
    _, other = ends
    asked: list[int] = []
    noted: list[bool] = []

    def full(count: int) -> list[tuple[bytes, bytes]]:
        asked.append(count)
        return [(b"connection", b"bad")] * count

    monkeypatch.setattr(module, "READ_S_MAX", patience_s)
    monkeypatch.setattr(other.transport, "try_receive", full)
    monkeypatch.setattr(other.doors, "note_unread", noted.append)
    woken: list[int] = []
    monkeypatch.setattr(other.pump, "wake", lambda: woken.append(threading.get_ident()))
    began = time.monotonic()
    other.pump.read_what_is_here()
    assert time.monotonic() - began >= patience_s
    assert set(asked) == {READ_MAX}
    assert len(asked) == 1 or patience_s
    assert woken.count(threading.get_ident()) == 1, "the authenticator's thread may wake it as well"
    assert noted[:1] in ([True], []), "the doors are told once that more may be here"


@pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)
def test_pushes_of_a_known_stream_make_no_whole_step(
    python_ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = python_ends
    short: list[bool] = []
    whole: list[int] = []
    take, tend = other.core.receive_known, other.transport.tend

    def taken(connection: bytes, payload: bytes, now: float) -> bool:
        short.append(take(connection, payload, now))
        return short[-1]

    def counted() -> None:
        """Each whole step begins with it."""
        whole.append(len(short))
        tend()

    monkeypatch.setattr(other.core, "receive_known", taken)
    monkeypatch.setattr(other.transport, "tend", counted)

    def many_were_short() -> bool:
        one.make(os.urandom(32))
        return sum(short) >= 100

    wait_until(many_were_short)
    assert len(whole) < sum(short), "the others were heartbeats and timers"


def test_what_no_descriptor_tells_of_is_read_at_once_and_makes_no_whole_step(
    python_ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, other = python_ends
    reads: list[int] = []
    whole: list[int] = []
    receive, tend = other.transport.receive, other.transport.tend

    def counted(count: int) -> list[tuple[bytes, bytes]]:
        reads.append(count)
        return receive(count)

    def noted() -> None:
        """Each whole step begins with it."""
        whole.append(len(reads))
        tend()

    monkeypatch.setattr(other.transport, "receive", counted)
    monkeypatch.setattr(other.transport, "tend", noted)
    for _ in range(100):
        before = len(reads)
        other.pump.answer_waits()
        wait_until(lambda before=before: len(reads) > before)
    assert len(whole) < 50, "those were heartbeats and timers, which alone would have taken a second each"


def test_a_fault_in_the_core_is_logged_without_its_message_and_the_mesh_goes_on(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = ends
    with monkeypatch.context() as broken:

        def fail(_now: float) -> None:
            raise KeyError(b"a session id")

        broken.setattr(one.core, "handle_timer", fail)
        wait_until(lambda: "please report it" in caplog.text)
    assert "session id" not in caplog.text
    assert "KeyError at" in caplog.text
    session_id = os.urandom(32)
    one.make(session_id)
    wait_until(lambda: other.has(session_id))


def test_what_happened_is_told_also_while_nothing_can_be_dialled(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy that nobody hears of is never in force."""
    one, _ = ends
    tried: list[str] = []

    def fail(address: str) -> bool:
        tried.append(address)
        raise OSError(errno.EMFILE, "no descriptor is left")

    with monkeypatch.context() as broken:
        broken.setattr(one.transport, "dial", fail)
        with one.pump.lock:
            one.core.candidate("127.0.0.1:1", "seed", time.monotonic())
        one.pump.wake()
        wait_until(lambda: tried)
        changed = PolicyChanged(time.monotonic(), "vip", "shop", 1, "edge-2", "reach=server")
        with one.pump.lock:
            one.core.note(changed)
        before = len(tried)
        wait_until(lambda: len(tried) > before + 1)  # it was drained in a step that dialled after it
    wait_until(lambda: changed in one.seen)
    assert one.seen.count(changed) == 1


def test_messages_that_were_read_outlive_a_fault(python_ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch) -> None:
    _, other = python_ends
    read: list[bytes] = []
    taken: list[bytes] = []
    left: dict[str, list[bytes]] = {}
    receive, tend = other.transport.receive, other.transport.tend
    take, take_known = other.core.receive, other.core.receive_known

    def received(count: int) -> list[tuple[bytes, bytes]]:
        here = receive(count)
        read.extend(payload for _, payload in here)
        return here

    def known(connection: bytes, payload: bytes, now: float) -> bool:
        was = take_known(connection, payload, now)
        taken.extend([payload] if was else [])
        return was

    def took(connection: bytes, payload: bytes, now: float) -> None:
        taken.append(payload)
        take(connection, payload, now)

    def fail_once(where: str) -> None:
        """With messages in hand, of which some are of another kind than pushes of a known stream."""
        waiting = [payload for payload in read if not any(payload is each for each in taken)]
        if waiting and where not in left:
            left[where] = waiting
            raise OSError(errno.EMFILE, "no descriptor is left")

    def tended() -> None:
        fail_once("tend")
        tend()

    monkeypatch.setattr(other.core, "receive_known", known)
    monkeypatch.setattr(other.core, "receive", took)
    monkeypatch.setattr(other.transport, "tend", tended)
    other.pump.call_in_each_step(lambda: fail_once("chore"))
    monkeypatch.setattr(other.transport, "receive", received)
    wait_until(lambda: left.keys() == {"tend", "chore"})
    for messages in left.values():
        wait_until(lambda messages=messages: all(any(one is each for each in taken) for one in messages))


def test_a_fault_while_it_plans_its_sleep_does_not_end_the_pump(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = ends
    with monkeypatch.context() as broken:

        def fail() -> float:
            raise MemoryError

        broken.setattr(one.doors, "collected_until", fail)
        one.pump.wake()
        wait_until(lambda: "please report it" in caplog.text)
    session_id = os.urandom(32)
    one.make(session_id)
    wait_until(lambda: other.has(session_id))


@pytest.mark.skipif(not IN_C, reason=hot.why_not or "there is none here")
def test_when_the_interpreter_ends_the_pump_goes_on_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """C uses no socket then, and returns at once."""
    made: list[Any] = []
    stays: list[object] = []

    def noted(*parts: Any) -> Any:
        made.append(compiled_sleep(*parts))
        return made[-1]

    def stay(*asked: object) -> tuple[list[tuple[bytes, bytes]], bool, int]:
        stays.append(asked)
        return [], False, 0

    monkeypatch.setattr(module, "compiled_sleep", noted)
    one, other = End("edge-1", keyring := Keyring.new()), End("edge-2", keyring)
    meet(one, other)
    for each in made:
        each.stop()
        monkeypatch.setattr(each, "stay", stay)
    for end in (one, other):
        end.pump.wake()
    session_id = os.urandom(32)
    one.make(session_id)
    wait_until(lambda: other.has(session_id))
    for end in (one, other):
        end.close()
    assert len(stays) <= len(made), "each may have been about to"


def test_chores_are_done_in_every_step_with_the_lock_held(ends: tuple[End, End]) -> None:
    one, _ = ends
    held: list[bool] = []
    one.pump.call_in_each_step(lambda: held.append(one.pump.lock.locked()))
    one.pump.wake()
    wait_until(lambda: held)
    assert held[0]


def test_closing_says_goodbye(ends: tuple[End, End]) -> None:
    one, other = ends
    one.close()
    one.close()
    wait_until(lambda: "PeerLeft" in [type(event).__name__ for event in other.seen])


def test_an_idle_pump_sleeps(python_ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = python_ends
    steps: list[float] = []
    receive = one.transport.receive

    def counted(count: int) -> list[tuple[bytes, bytes]]:
        steps.append(time.monotonic())
        return receive(count)

    monkeypatch.setattr(one.transport, "receive", counted)
    wait_until(lambda: len(steps) >= 3)
    began, count = time.monotonic(), len(steps)
    wait_until(lambda: time.monotonic() > began + 1)
    assert len(steps) - count < 100, "a second of an idle mesh of two is a handful of timers and messages"


def test_what_comes_one_at_a_time_in_a_large_mesh_is_read_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "compiled_sleep", no_compiled_sleep)
    keyring, busy = Keyring.new(), Limits(flush_at_once_peers=0, flush_s_per_peer=0.2, flush_s_max=0.2, rest_share=1.0)
    one, other = End("edge-1", keyring), End("edge-2", keyring, busy)
    meet(one, other)
    reads: list[int] = []
    receive = other.transport.receive

    def counted(count: int) -> list[tuple[bytes, bytes]]:
        received = receive(count)
        reads.append(len(received))
        return received

    monkeypatch.setattr(other.transport, "receive", counted)
    ids = [os.urandom(32) for _ in range(200)]
    for count, session_id in enumerate(ids):
        one.make(session_id)
        wait_until(lambda count=count: one.pushes() > count)
    wait_until(lambda: all(map(other.has, ids)))
    assert sum(reads) >= len(ids), "each session was a message of its own"
    assert sum(map(bool, reads)) < len(ids) / 2
    for end in (one, other):
        end.close()


def test_a_push_alone_is_read_in_one_step(python_ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = python_ends
    reads: list[int] = []
    receive = other.transport.receive

    def counted(count: int) -> list[tuple[bytes, bytes]]:
        received = receive(count)
        reads.append(len(received))
        return received

    monkeypatch.setattr(other.transport, "receive", counted)
    for _ in range(50):
        session_id = os.urandom(32)
        one.make(session_id)
        wait_until(lambda session_id=session_id: other.has(session_id))
        apart = time.monotonic() + 4 * other.core.rest_s(1)  # the rest after it is over, and what would follow
        wait_until(lambda apart=apart: time.monotonic() > apart)
    assert sum(reads) >= 50, "each session was a message of its own"
    assert reads.count(0) < 25, "after a rest in which nothing came there is nothing to read"


class CountedPoll:
    """poll(2), and how often it was asked."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register, self.asked = self._poll.register, 0

    def poll(self, timeout_ms: float) -> list[tuple[int, int]]:
        self.asked += 1
        return self._poll.poll(timeout_ms)


def test_there_is_no_rest_after_pushes_that_come_further_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    pollers: list[CountedPoll] = []

    def counted() -> CountedPoll:
        pollers.append(CountedPoll())
        return pollers[-1]

    monkeypatch.setattr(module, "compiled_sleep", no_compiled_sleep)
    keyring = Keyring.new()
    one = End("edge-1", keyring)
    with monkeypatch.context() as patched:
        patched.setattr(pump_sleep.native, "poll", counted)
        other = End("edge-2", keyring)
    meet(one, other)
    before = pollers[0].asked
    for _ in range(50):
        session_id = os.urandom(32)
        one.make(session_id)
        wait_until(lambda session_id=session_id: other.has(session_id))
        apart = time.monotonic() + 4 * other.core.rest_s(1)
        wait_until(lambda apart=apart: time.monotonic() > apart)
    assert pollers[0].asked - before < 25, "in the pump's rest only what wakes it is looked at, with the first of these"
    for end in (one, other):
        end.close()


def test_what_comes_while_something_is_collected_is_read_in_the_step_that_sends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "compiled_sleep", no_compiled_sleep)
    keyring, period_s = Keyring.new(), 0.005
    one, other = End("edge-1", keyring, Limits(collect_s=0.0)), End("edge-2", keyring)
    meet(one, other)
    steps: list[int] = []
    receive = other.transport.receive

    def counted(count: int) -> list[tuple[bytes, bytes]]:
        received = receive(count)
        steps.append(len(received))
        return received

    monkeypatch.setattr(other.transport, "receive", counted)
    monkeypatch.setattr(other.doors, "collected_until", lambda: (time.monotonic() // period_s + 1) * period_s)
    other.pump.wake()
    began, ids = time.monotonic(), [os.urandom(32) for _ in range(100)]
    for session_id in ids:
        one.make(session_id)
        apart = time.monotonic() + 1.3 * other.core.rest_s(1)  # so far that there is no rest for them
        wait_until(lambda apart=apart: time.monotonic() > apart)
    wait_until(lambda: all(map(other.has, ids)))
    assert len(steps) < (time.monotonic() - began) / period_s + len(ids) / 2
    for end in (one, other):
        end.close()


def test_a_pump_that_is_always_late_to_collect_reads_all_the_same(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = ends
    monkeypatch.setattr(other.doors, "collected_until", lambda: 0.0)
    other.pump.wake()
    assert arrives_before_a_timer(one, other)
