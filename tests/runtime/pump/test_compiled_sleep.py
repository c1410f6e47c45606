"""Filing in C beside a core in Python, on real ZeroMQ: the same ends, and nothing under what doesn't hold any more."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from meshcache import hot
from meshcache.core.policy.gates import REACH_EVERYWHERE, REACH_SERVER
from meshcache.core.values.limits import Limits
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import Hello, Ping, Pong, Push
from meshcache.edges import mail
from meshcache.runtime.pump.compiled_sleep import CompiledSleep, core_lock
from tests.core.net import Host, Net, Puppet, sessions, sid, vip
from tests.nodes import Place, places
from tests.support.waiting import wait_until
from tests.tls.world import client_context, visit

pytestmark = pytest.mark.skipif(
    hot.compiled is None or not hasattr(hot.compiled, "Inflow"), reason=hot.why_not or "there is no epoll"
)

LINE = b"\0line"
"""The connection's name, which looks as if ZeroMQ had given it."""


class Receiver:
    """A core that knows a puppet well, whose pushes come on a ROUTER. A thread stays in C and brings the rest."""

    def __init__(self, limits: Limits | None = None, **settings: Any) -> None:
        self.net = Net(limits=limits)
        self.net.now = time.monotonic()
        self.host: Host = self.net.add("me", "ams1", vip("me", reach=REACH_EVERYWHERE, **settings))
        self.core = self.host.core
        self.peer = Puppet(self.net, "x", "ams1", vip("x", reach=REACH_EVERYWHERE))
        self.peer.says(self.host, Hello("test", self.peer.record), LINE)
        for ping in self.peer.hears(Ping):
            self.peer.says(self.host, Pong(ping.token), LINE)
        self.peer.says(self.host, Push(self.peer.batch(1)), LINE)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.router, self.dealer = self.context.socket(zmq.ROUTER), self.context.socket(zmq.DEALER)
        self.dealer.setsockopt(zmq.ROUTING_ID, LINE)
        for end in (self.router, self.dealer):
            end.setsockopt(zmq.LINGER, 0)
            end.set_hwm(0)
        self.router.bind("inproc://inflow")
        self.dealer.connect("inproc://inflow")
        self.readable = select.epoll()
        self.readable.register(self.router.FD, select.EPOLLIN)
        self.wakeup = os.eventfd(0, os.EFD_NONBLOCK)
        lock = core_lock()
        assert lock.compiled is not None
        self.lock, self.quietly = lock.compiled, lock.quietly
        sockets = (self.router.underlying, self.readable.fileno(), self.router.FD)
        self.sockets = mail.new_lock()
        transport: Any = SimpleNamespace(lock=self.sockets, in_c=sockets)
        self.sleep = CompiledSleep(self.core, transport, lock.compiled, self.wakeup)
        self.brought: list[bytes] = []
        self._stops = False
        self._received = 0
        self._thread = threading.Thread(target=self._run)
        self.take(Push(self.peer.batch(2)))
        self._thread.start()

    def take(self, message: Any, connection: bytes = LINE) -> bool:
        """Have the core take a message in, as the pump's short step does."""
        with self.quietly:
            return self.core.receive_known(connection, encode("x", self.peer.incarnation, message), time.monotonic())

    def send(self, message: Any) -> None:
        self.dealer.send(encode("x", self.peer.incarnation, message))

    def push(self, first: int, count: int = 1) -> None:
        self.send(Push(self.peer.batch(first, count)))

    def has(self, *numbers: int) -> bool:
        return all(self.core.holds("shop", sid(number)) for number in numbers)

    def take_brought(self) -> bool:
        """Have the core take in what was brought. Return whether the last push has been filed."""
        while self.brought:
            payload = self.brought.pop(0)
            with self.lock:
                self.core.receive(LINE, payload, time.monotonic())
        return self.has(302)

    def pushes(self) -> int:
        """How many the core has counted; with the lock held."""
        received: int = self.core.stats(time.monotonic())["gossip"]["received"]["kinds"]["push"]
        return received

    def wake(self) -> None:
        os.eventfd_write(self.wakeup, 1)

    def close(self) -> None:
        self._stops = True
        self.wake()
        self._thread.join(60)
        self.sleep.close()
        for end in (self.router, self.dealer):
            end.close()
        self.readable.close()
        os.close(self.wakeup)
        self.context.term()

    def _run(self) -> None:
        while not self._stops:
            with self.quietly:
                generation = self.sleep.generation
            came, more, _ = self.sleep.stay(generation, self._received, time.monotonic() + 60, float("inf"))
            while more:
                with self.sockets:
                    here = mail.receive(self.router, 32)
                came, more = came + here, len(here) == 32
            self._received = len(came)
            self.brought += [payload for _, payload in came]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def test_pushes_like_those_before_them_are_filed_and_counted_without_being_brought(receiver: Receiver) -> None:
    for first in range(3, 303, 3):
        receiver.push(first, 3)
    wait_until(lambda: receiver.has(302))
    assert receiver.has(*range(1, 303))
    assert receiver.brought == []
    with receiver.lock:
        counted = sessions(receiver.host, receiver.net)["received"]
        received = receiver.core.stats(time.monotonic())["gossip"]["received"]
        stream = receiver.core.duties.cache.streams.get(receiver.peer.batch(1).key)
        assert stream is not None
        held = [number for number, _ in stream.entries.downwards(1000)]
    assert (counted, received["kinds"]["push"], stream.newest, stream.cached) == (302, 102, 302, 302)
    assert held == list(range(302, 0, -1))
    assert stream.seen.goes_on == 303


def test_anything_else_is_brought_as_it_came_with_all_that_follows_it(receiver: Receiver) -> None:
    strange = encode("x", receiver.peer.incarnation, Pong(0))
    receiver.push(3)
    receiver.dealer.send(strange)
    receiver.push(4)
    wait_until(lambda: len(receiver.brought) >= 1)
    receiver.push(6)  # behind a gap
    wait_until(lambda: strange in receiver.brought and len(receiver.brought) + receiver.has(4) >= 3)
    assert receiver.has(3)
    assert not receiver.has(6)


def test_two_frames_and_none_are_brought_as_nothing(receiver: Receiver) -> None:
    receiver.dealer.send_multipart([b"one", b"two"])
    wait_until(lambda: receiver.brought == [b""])


def test_nothing_is_filed_that_comes_under_a_name_which_its_sender_chose(receiver: Receiver) -> None:
    name = b"chosen"
    with receiver.lock:
        receiver.peer.says(receiver.host, Push(receiver.peer.batch(3)), name)
    assert receiver.take(Push(receiver.peer.batch(4)), name), "more would be filed that comes under it"
    with receiver.context.socket(zmq.DEALER) as other:
        other.setsockopt(zmq.ROUTING_ID, name)
        other.setsockopt(zmq.LINGER, 0)
        other.connect("inproc://inflow")
        other.send(encode("x", receiver.peer.incarnation, Push(receiver.peer.batch(5))))
        wait_until(lambda: receiver.brought)
    assert receiver.brought == [b""]
    assert not receiver.has(5)


Change = Callable[[Receiver], object]


def withdrawn(receiver: Receiver) -> None:
    receiver.core.withdraw(time.monotonic(), vip="shop")


def narrower(receiver: Receiver) -> None:
    receiver.core.set_vip(vip("me", reach=REACH_SERVER), time.monotonic())


def served_no_more(receiver: Receiver) -> None:
    receiver.core.remove_vip("shop", time.monotonic())


def awaited(receiver: Receiver) -> None:
    receiver.core.awaiting.want(sid(9999))


@pytest.mark.parametrize("lead", [1, 20, 100])
@pytest.mark.parametrize("change", [withdrawn, narrower, served_no_more, awaited])
def test_once_anything_changed_nothing_is_filed_until_the_core_was_asked(
    receiver: Receiver, change: Change, lead: int
) -> None:
    """The change comes at any moment of C's: before a message is read, between two, and while one is filed."""
    flood = threading.Thread(target=lambda: [receiver.push(number) for number in range(3, 403)])
    flood.start()
    wait_until(lambda: receiver.has(lead + 2))
    with receiver.lock:
        change(receiver)
        held, counted = len(receiver.core.session_ids("shop")), receiver.pushes()
    flood.join(60)
    wait_until(lambda: counted + len(receiver.brought) >= 402)
    with receiver.lock:
        assert (len(receiver.core.session_ids("shop")), receiver.pushes()) == (held, counted)


def test_after_the_core_was_asked_anew_more_are_filed(receiver: Receiver) -> None:
    with receiver.lock:
        pass
    receiver.push(3)
    wait_until(lambda: len(receiver.brought) == 1)
    assert receiver.take(Push(receiver.peer.batch(3)))
    receiver.push(4)
    wait_until(lambda: receiver.has(4))
    assert len(receiver.brought) == 1


def test_who_takes_the_lock_sees_all_that_was_filed_before(receiver: Receiver) -> None:
    for number in range(3, 203):
        receiver.push(number)
        with receiver.quietly:
            stream = receiver.core.duties.cache.streams.get(receiver.peer.batch(1).key)
            assert stream is not None
            assert stream.entries.newest == stream.newest == stream.cached
            assert stream.cached == len(receiver.core.duties.cache)


def test_the_core_is_told_of_what_was_filed_also_where_nobody_takes_the_lock(receiver: Receiver) -> None:
    key = receiver.peer.batch(1).key
    receiver.push(3)
    wait_until(lambda: (stream := receiver.core.duties.cache.streams.get(key)) is not None and stream.newest == 3)


def test_a_sender_that_sends_more_than_is_read_of_one_is_the_cores_to_judge() -> None:
    receiver = Receiver(Limits(messages_per_s=0.001, messages_burst=10))
    try:
        for number in range(3, 23):
            receiver.push(number)
        wait_until(lambda: len(receiver.brought) > 0)
        wait_until(lambda: not receiver.has(23) and len(receiver.brought) >= 13)
        assert not receiver.has(12)
    finally:
        receiver.close()


def test_a_part_of_the_cache_that_is_full_makes_room_as_ever() -> None:
    receiver = Receiver(sessions=50)
    try:
        for number in range(3, 303):
            receiver.push(number)
        wait_until(receiver.take_brought)
        with receiver.lock:
            assert 0 < len(receiver.core.session_ids("shop")) <= 50
    finally:
        receiver.close()


def test_what_comes_lies_for_a_while_and_a_wake_up_ends_that() -> None:
    receiver = Receiver(Limits(rest_s_min=60.0))
    try:
        receiver.push(3)
        wait_until(lambda: receiver.has(3) and receiver.sleep.resting)
        assert not receiver.sleep.answer_waits(), "who rests looks afterwards"
        receiver.push(4)
        receiver.wake()
        wait_until(lambda: receiver.brought or receiver.has(4))
    finally:
        receiver.close()


def test_handshakes_ask_where_more_came_than_is_read_at_once(receiver: Receiver, place: Place) -> None:
    """ZeroMQ's descriptor tells of the first message alone: behind those that were read may be the client's session."""
    node = place.node("edge-1")
    context, client = place.server(node, version="1.2"), client_context("1.2")
    session = visit(context, client).session
    port: Any = node.internals.vips.port("shop")
    for session_id in node.internals.pump.core.duties.cache.vip_cache("shop").ids():
        port.removed(session_id)
    wait_until(lambda: node.stats()["cache"]["entries"] == 0)
    asked: list[bytes] = []
    find = port.find

    def watched(session_id: bytes) -> Any:
        asked.append(session_id)
        return find(session_id)

    port.find = watched

    def asks() -> bool:
        before = len(asked)
        assert not visit(context, client, session=session).resumed
        return len(asked) > before

    wait_until(lambda: not asks(), what="the mesh is quiet, and C alone says that there is no such session")
    with receiver.quietly:  # nothing is filed
        with receiver.sockets:  # nothing is read until all are there
            for number in range(3, 103):
                receiver.push(number)
        wait_until(lambda: receiver.sleep.backlog)
        assert asks()
    wait_until(lambda: receiver.has(102) and not receiver.sleep.backlog)
    wait_until(lambda: not asks())


def test_a_lock_is_one_for_c_and_python() -> None:
    assert hot.compiled is not None
    lock = hot.compiled.Lock()
    quiet, settled = lock.quiet(), []
    lock.on_take(lambda: settled.append(1))
    before = lock.generation
    with quiet:
        assert lock.locked()
        assert not lock.acquire(blocking=False)
        assert not quiet.acquire(blocking=False)
    assert lock.generation == before
    with lock:
        assert not quiet.acquire(blocking=False)
    assert lock.generation == before + 1
    assert settled == [], "nothing was done in C"
    taken: list[int] = []

    def add() -> None:
        for _ in range(1000):
            with lock:
                count = len(taken)
                taken.append(count)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == list(range(4000))
    lock.on_take(None)
