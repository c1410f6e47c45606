"""What one tier is asked, on which thread, and what happens when it does wrong: it rests, and nobody waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, pairwise

import pytest

from meshcache.core.values.events import HookFaulted
from meshcache.hooks import TIER_BATCH_MAX, TIER_WAITING_MAX, BeginsEmptyError, Tier, TierEntry
from meshcache.tiers.runner import TierRunner
from meshcache.tiers.sealed_entries import SealedEntries, pack
from tests.support.waiting import wait_until
from tests.tiers.tiers import Coroutines, Evicted, Hangs, Kept, OpensLater


def entry(number: int) -> TierEntry:
    return TierEntry(number.to_bytes(16, "big"), b"v%d" % number, 60.0)


@contextmanager
def running(tier: Tier, told: list[HookFaulted] | None = None, ready: bool = True) -> Iterator[TierRunner]:
    runner = TierRunner(tier, "", (told if told is not None else []).append, lambda _runner: None)
    runner.start()
    try:
        if ready:
            wait_until(lambda: runner.ready, what="it is ready")
        yield runner
    finally:
        runner.close(60)


def asked(runner: TierRunner, key: bytes) -> bytes | None:
    """What it answers, waited for."""
    answers: list[bytes | None] = []
    assert wait_until(lambda: runner.ask((key, answers.append)), what="it may be asked")
    wait_until(lambda: answers, what="it answers")
    return answers[0]


def counts(runner: TierRunner) -> dict[str, int]:
    found: dict[str, int] = runner.to_plain()["counts"]
    return found


@pytest.mark.parametrize("make", [Kept, Coroutines])
def test_what_is_offered_is_written_and_found(make: Callable[[], Kept]) -> None:
    tier = make()
    with running(tier) as runner:
        runner.offer([entry(number) for number in range(3000)])
        wait_until(lambda: len(tier.kept) == 3000, what="all are written")
        assert asked(runner, entry(7).key) == b"v7"
        assert asked(runner, b"x" * 16) is None
        runner.remove([entry(7).key])
        wait_until(lambda: entry(7).key not in tier.kept, what="it is taken out")
        wait_until(lambda: counts(runner).get("removed") == 1, what="it is counted")
        assert counts(runner)["written"] == 3000
        assert (counts(runner)["hits"], counts(runner)["misses"]) == (1, 1)
        assert runner.to_plain()["entries"] == 2999
    assert tier.closed == 1


def test_what_is_removed_while_it_waits_to_be_written_is_gone_and_what_comes_after_stays() -> None:
    tier = Kept()
    runner = TierRunner(tier, "", lambda _fault: None, lambda _runner: None)
    many = [entry(number) for number in range(3000)]
    runner.offer(many)
    runner.remove([each.key for each in many[::2]])
    runner.offer(many[:2])
    runner.remove([entry(4000).key])
    runner.start()
    try:
        wait_until(lambda: counts(runner).get("written") == 3002, what="all are written")
        wait_until(lambda: counts(runner).get("removed") == 1501, what="all are removed")
        assert set(tier.kept) == {entry(0).key, *(each.key for each in many[1::2])}
    finally:
        runner.close(60)


def test_packed_entries_are_written_as_they_were_offered_and_joined_where_all_are_packed() -> None:
    class Asked(Kept):
        def put(self, entries: Sequence[TierEntry]) -> None:
            asked.append((type(entries), [int.from_bytes(each.key, "big") for each in entries]))
            super().put(entries)

    asked: list[tuple[type, list[int]]] = []
    runner = TierRunner(Asked(), "", lambda _fault: None, lambda _runner: None)
    for some in ((1, 2), (3,), ()):
        runner.offer(SealedEntries(pack([entry(number) for number in some]), len(some)))
    runner.remove([entry(1).key])
    runner.offer(SealedEntries(pack([entry(4)]), 1))
    runner.offer([entry(5)])
    runner.start()
    try:
        wait_until(lambda: counts(runner).get("written") == 5, what="all are written")
        wait_until(lambda: counts(runner).get("removed") == 1, what="and what was removed between is out")
        assert asked == [(SealedEntries, [1, 2, 3]), (list, [4, 5])]
    finally:
        runner.close(60)


def test_of_packed_entries_what_is_too_much_is_left_out() -> None:
    runner = TierRunner(Kept(), "", lambda _fault: None, lambda _runner: None)
    runner.offer([entry(1)] * (TIER_WAITING_MAX - 2))
    runner.offer(SealedEntries(pack([entry(number) for number in range(5)]), 5))
    assert (runner.waiting, counts(runner)["skipped"]) == (TIER_WAITING_MAX, 3)


def test_coroutines_run_on_one_loop_of_their_own() -> None:
    tier = Coroutines()
    with running(tier) as runner:
        runner.offer([entry(1)])
        assert wait_until(lambda: asked(runner, entry(1).key), what="it is found")
    assert len(tier.threads) == 1


def test_what_waits_at_the_end_is_written() -> None:
    tier = Kept()
    with running(tier) as runner:
        runner.offer([entry(number) for number in range(TIER_WAITING_MAX)])
    assert len(tier.kept) == TIER_WAITING_MAX


def test_what_is_too_much_is_counted_and_left_out() -> None:
    runner = TierRunner(Kept(), "", lambda _fault: None, lambda _runner: None)
    runner.offer([entry(1)] * (TIER_WAITING_MAX + 5))
    assert runner.waiting == TIER_WAITING_MAX
    runner.offer([entry(1)] * 2)
    assert counts(runner)["skipped"] == 7


def test_one_that_raises_when_it_is_asked_rests_and_is_asked_again_by_nobody() -> None:
    tier, told = Kept(), list[HookFaulted]()
    with running(tier, told) as runner:
        tier.broken = True
        assert asked(runner, entry(1).key) is None
        assert not runner.ready
        assert not runner.ask((entry(1).key, lambda _value: None))
        assert counts(runner)["raised"] >= 1
        assert [(fault.hook_kind, fault.what) for fault in told] == [("tier", "raised")]
        assert "secret" not in told[0].why
        tier.broken = False
        wait_until(lambda: runner.ready, what="it is well again after a rest")


def test_one_that_hangs_isnt_asked_by_the_next_and_comes_back() -> None:
    tier, answers = Hangs(), list[bytes | None]()
    tier.may_answer.set()
    with running(tier) as runner:
        tier.may_answer.clear()
        assert runner.ask((entry(1).key, answers.append))
        wait_until(lambda: not runner.ready, what="it is late")
        assert not runner.ask((entry(2).key, answers.append))
        tier.may_answer.set()
        wait_until(lambda: answers, what="it answers in the end")
        wait_until(lambda: counts(runner).get("slow"), what="that is counted")
        wait_until(lambda: runner.ready, what="it is well again")


def test_one_that_cant_be_written_is_read_on() -> None:
    tier = Evicted()
    with running(tier) as runner:
        runner.offer([entry(1)])
        wait_until(lambda: tier.kept, what="it is written")
        tier.put = lambda _entries: 1 / 0  # type: ignore[assignment, method-assign]
        runner.offer([entry(2)])
        wait_until(lambda: counts(runner).get("raised"), what="writing fails")
        wait_until(lambda: counts(runner).get("skipped") == 1, what="what it couldn't take is counted")
        assert asked(runner, entry(1).key) == b"v1"


def test_errands_that_only_read_go_on_while_writing_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start waits for what is read; a full disk can be read."""
    monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 600.0)
    tier, steps = Kept(), list[int]()
    with running(tier) as runner:
        tier.put = lambda _entries: (_ for _ in ()).throw(OSError(28, "No space left"))  # type: ignore[method-assign]
        runner.offer([entry(1)])
        wait_until(lambda: counts(runner).get("raised") == 1, what="it can't be written")
        runner.offer([entry(2)])
        runner.run(iter(steps.append(number + 10) for number in range(3)))
        runner.run(iter(steps.append(number) for number in range(3)), reads=True)
        wait_until(lambda: runner.settled, what="nobody waits for it")
        assert (steps, runner.waiting) == ([0, 1, 2], 1), "what writes, too, waits for its turn"


def test_what_couldnt_be_taken_out_is_tried_again_and_others_are_written_meanwhile() -> None:
    tier = Evicted()
    with running(tier) as runner:
        runner.offer([entry(1), entry(2)])
        wait_until(lambda: len(tier.kept) == 2, what="they are written")
        remove, tier.remove = tier.remove, lambda _keys: 1 / 0  # type: ignore[assignment, method-assign]
        runner.remove([entry(1).key, entry(2).key])
        wait_until(lambda: counts(runner).get("raised"), what="taking them out fails")
        runner.offer([entry(3)])
        wait_until(lambda: entry(3).key in tier.kept, what="another is written")
        assert counts(runner).get("removed", 0) == 0
        tier.remove = remove  # type: ignore[method-assign]
        wait_until(lambda: counts(runner).get("removed") == 2, what="they are taken out after all")
        assert set(tier.kept) == {entry(3).key}


class Timed(Evicted):
    """Notes when it is asked to take something out, which it can't."""

    def __init__(self) -> None:
        super().__init__()
        self.removes_at: list[float] = []

    def remove(self, keys: Sequence[bytes]) -> None:
        self.removes_at.append(time.monotonic())
        raise OSError("no space left")

    def pauses(self) -> list[float]:
        return [after - before for before, after in pairwise(self.removes_at)]


def test_what_is_to_be_kept_is_tried_until_it_is_written_and_keeps_nothing_else_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 0.02)
    refused: list[list[bytes]] = []

    class Chooses(Evicted):
        def put(self, entries: Sequence[TierEntry]) -> None:
            if refuses and entry(9).key in (each.key for each in entries):
                refused.append([each.value for each in entries])
                raise OSError("no space left")
            super().put(entries)

    refuses, tier = [True], Chooses()
    with running(tier) as runner:
        runner.keep([entry(9)])
        wait_until(lambda: len(refused) >= 2, what="it is tried again")
        assert runner.to_plain()["failing"]
        runner.offer([entry(number) for number in range(3)])
        runner.remove([entry(0).key])
        wait_until(lambda: set(tier.kept) == {entry(1).key, entry(2).key}, what="others are written and taken out")
        newer = TierEntry(entry(9).key, b"newer", 60.0)
        runner.keep([newer])
        wait_until(lambda: refused[-1] == [b"newer"], what="the newer one takes its place")
        refuses.clear()
        wait_until(lambda: tier.kept.get(newer.key) == b"newer", what="it is written")
        wait_until(lambda: not runner.to_plain()["failing"])
        assert "skipped" not in counts(runner)


def test_what_is_to_be_kept_needs_no_room_and_is_tried_a_last_time_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 600.0)
    tier = Evicted()
    with running(tier) as runner:
        put, tier.put = tier.put, lambda _entries: 1 / 0  # type: ignore[assignment, method-assign]
        runner.keep([entry(9)])
        wait_until(lambda: counts(runner).get("raised"), what="it can't be written")
        runner.offer([entry(1)] * (2 * TIER_WAITING_MAX))
        assert counts(runner)["skipped"] >= TIER_WAITING_MAX
        tier.put = put  # type: ignore[method-assign]
    assert tier.kept[entry(9).key] == b"v9"


def test_once_others_can_be_written_again_so_can_what_is_to_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 0.02)
    tier, tried = Evicted(), list[bytes]()
    put = tier.put

    def fail(entries: Sequence[TierEntry]) -> None:
        tried.append(entries[0].key)
        raise OSError("no space left")

    with running(tier) as runner:
        monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 600.0)
        runner.keep([entry(8)])
        wait_until(lambda: counts(runner).get("written") == 1, what="from then on it rests for longer")
        tier.put = fail  # type: ignore[method-assign]
        runner.keep([entry(9)])
        wait_until(lambda: entry(9).key in tried, what="it can't be written")
        runner.offer([entry(1)])
        wait_until(lambda: entry(1).key in tried, what="others can't either")
        tier.put = put  # type: ignore[method-assign]
        runner.offer([entry(2)])
        wait_until(lambda: entry(9).key in tier.kept, what="it is written soon after others")


def test_taking_out_is_tried_less_and_less_often_whatever_is_written_read_or_tended_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 0.1)
    monkeypatch.setattr("meshcache.tiers.runner.TEND_S", 0.01)
    tier, numbers = Timed(), count(1)
    with running(tier) as runner:
        runner.remove([entry(0).key])

        def tried() -> bool:
            runner.offer([entry(next(numbers))])
            if not runner.errands:
                runner.run(iter([None, None]), reads=True)
            return len(tier.removes_at) >= 5

        wait_until(tried, what="it is tried five times")
        assert all(pause >= 0.1 * 2**at for at, pause in enumerate(tier.pauses())), tier.pauses()
        assert tier.kept, "others are written meanwhile"
        assert runner.to_plain()["failing"]


def test_writing_is_tried_less_and_less_often_whatever_is_taken_out_read_or_tended_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 0.1)
    monkeypatch.setattr("meshcache.tiers.runner.TEND_S", 0.01)

    class Full(Evicted):
        def put(self, entries: Sequence[TierEntry]) -> None:
            puts_at.append(time.monotonic())
            raise OSError("no space left")

    puts_at: list[float] = []
    with running(Full()) as runner:

        def tried() -> bool:
            runner.offer([entry(1)])
            runner.remove([entry(2).key])
            if not runner.errands:
                runner.run(iter([None, None]), reads=True)
            return len(puts_at) >= 5

        wait_until(tried, what="it is tried five times")
        assert all(after - before >= 0.1 * 2**at for at, (before, after) in enumerate(pairwise(puts_at))), puts_at
        assert counts(runner)["removed"], "others are taken out meanwhile"
        assert runner.to_plain()["failing"]


def test_where_nothing_can_be_written_what_is_taken_out_waits_for_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is full takes removals, and is tried once a minute in the end."""
    monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 0.1)
    tier = Evicted()
    with running(tier) as runner:
        tier.put = lambda _entries: 1 / 0  # type: ignore[assignment, method-assign]
        for number in range(20):
            runner.offer([entry(number)])
            runner.remove([entry(100 + number).key])
        runner.offer([entry(20)])
        wait_until(lambda: counts(runner).get("removed") == 20, what="all are taken out")
        assert runner.waiting <= 1, "what came after them may still be written"
        assert counts(runner)["skipped"] >= 20


def test_where_nothing_can_be_taken_out_it_is_still_looked_through_and_tended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 0.02)
    monkeypatch.setattr("meshcache.tiers.runner.TEND_S", 0.01)
    tier, tended = Evicted(), list[bool]()
    with running(tier) as runner:
        tier.remove = lambda _keys: 1 / 0  # type: ignore[assignment, method-assign]
        tier.tend = lambda: tended.append(bool(runner.errands))  # type: ignore[method-assign]
        runner.remove([entry(1).key])
        wait_until(lambda: counts(runner).get("raised"), what="taking out fails")
        runner.run(iter([None] * 4))
        assert runner.writes_errands
        wait_until(lambda: not runner.errands, what="a step comes with each try")
        assert any(tended), "also while an errand waits"


def test_an_errand_that_breaks_off_after_good_steps_is_waited_for_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meshcache.tiers.rest.REST_S_MIN", 0.1)
    monkeypatch.setattr("meshcache.tiers.runner._IDLE_S", 0.01)

    def errand() -> Iterator[None]:
        began_at.append(time.monotonic())
        yield from [None] * 3
        raise OSError("it breaks off")

    began_at: list[float] = []
    with running(Kept()) as runner:
        for _ in range(4):
            runner.run(errand(), reads=True)
        wait_until(lambda: len(began_at) == 4, what="all are done")
    assert all(after - before >= 0.1 * 2**at for at, (before, after) in enumerate(pairwise(began_at))), began_at


def test_what_couldnt_be_taken_out_is_found_by_nobody_until_it_is() -> None:
    tier = Evicted()
    with running(tier) as runner:
        runner.offer([entry(1), entry(2)])
        wait_until(lambda: len(tier.kept) == 2, what="they are written")
        remove, tier.remove = tier.remove, lambda _keys: 1 / 0  # type: ignore[assignment, method-assign]
        for _ in range(2):
            runner.remove([entry(1).key])
        wait_until(lambda: counts(runner).get("raised"), what="taking it out fails")
        assert runner.is_going(entry(1).key)
        assert (asked(runner, entry(1).key), asked(runner, entry(2).key)) == (None, b"v2")
        assert (counts(runner)["misses"], counts(runner)["hits"]) == (1, 1)
        assert entry(1).key in tier.kept
        tier.remove = remove  # type: ignore[method-assign]
        wait_until(lambda: counts(runner).get("removed") == 2, what="it is taken out after all, twice")
        assert not runner.is_going(entry(1).key)
        runner.offer([entry(1)])
        wait_until(lambda: entry(1).key in tier.kept, what="it is written again")
        assert asked(runner, entry(1).key) == b"v1"


def test_of_what_cant_be_taken_out_so_much_is_remembered() -> None:
    told: list[HookFaulted] = []
    runner = TierRunner(Kept(), "", told.append, lambda _runner: None)
    runner.remove([entry(number).key for number in range(TIER_WAITING_MAX)])
    assert "removals_lost" not in counts(runner)
    runner.remove([entry(TIER_WAITING_MAX + number).key for number in range(4)])
    runner.remove([entry(TIER_WAITING_MAX + 4).key])
    assert counts(runner)["removals_lost"] == 5
    assert [fault.what for fault in told] == ["removals_lost"], "it is told once"
    assert [runner.is_going(entry(number).key) for number in (0, 4, 5, TIER_WAITING_MAX + 4)] == [False] * 2 + [
        True
    ] * 2
    runner.health.fault("raised", "no space is left")
    runner.remove([entry(TIER_WAITING_MAX + 5).key])
    assert runner.to_plain()["last_fault"] == "raised: no space is left", "why, and not what follows"


def test_what_couldnt_be_taken_out_is_tried_a_last_time_at_the_end() -> None:
    tier = Evicted()
    with running(tier) as runner:
        runner.offer([entry(1)])
        wait_until(lambda: tier.kept, what="it is written")
        remove, tier.remove = tier.remove, lambda _keys: 1 / 0  # type: ignore[assignment, method-assign]
        runner.remove([entry(1).key])
        wait_until(lambda: counts(runner).get("raised", 0) >= 3, what="it has failed, and rests for four seconds")
        tier.remove = remove  # type: ignore[method-assign]
    assert tier.kept == {}


def test_one_is_closed_when_its_last_answer_has_come() -> None:
    """LMDB's file is gone from memory when it is closed: a reader would end the process."""
    tier, answers = Hangs(), list[bytes | None]()
    tier.may_answer.set()
    with running(tier) as runner:
        tier.may_answer.clear()
        assert runner.ask((entry(1).key, answers.append))
        wait_until(lambda: not runner.ready, what="it is being asked")
        closing = threading.Thread(target=runner.close, args=(60,))
        closing.start()
        wait_until(lambda: not runner.is_open, what="it is about to be closed")
        closing.join(0.1)
        assert not tier.closed
        tier.may_answer.set()
        closing.join()
    assert tier.closed == 1
    assert answers == [None]


def test_one_that_opens_later_is_tried_again() -> None:
    tier = OpensLater()
    with running(tier, ready=False) as runner:
        wait_until(lambda: counts(runner).get("raised"), what="it fails at first")
        assert not runner.is_open
        assert runner.settled
        wait_until(lambda: runner.ready, what="it opens")
    assert tier.tries == 2


def test_one_that_cant_be_opened_is_left_alone_for_a_while_whoever_offers() -> None:
    tier = OpensLater()
    tier.tries = -100
    with running(tier, ready=False) as runner:
        wait_until(lambda: counts(runner).get("raised"), what="it fails")
        for number in range(200):
            runner.offer([entry(number)])
            time.sleep(0.001)
        assert tier.tries < -90


def test_one_that_begins_empty_says_so_and_works() -> None:
    class Emptied(Kept):
        def open(self) -> None:
            raise BeginsEmptyError("the file was damaged")

    told: list[HookFaulted] = []
    with running(Emptied(), told) as runner:
        runner.offer([entry(1)])
        assert wait_until(lambda: asked(runner, entry(1).key), what="it is found")
        assert counts(runner)["begun_anew"] == 1
    assert "the file was damaged" in told[0].why


def test_one_that_lacks_its_package_is_told_as_that() -> None:
    class Lacking(Kept):
        def open(self) -> None:
            raise ImportError("No module named 'lmdb'")

    with running(Lacking(), ready=False) as runner:
        wait_until(lambda: counts(runner).get("not_loaded"), what="it is counted")
        assert "lmdb" in runner.to_plain()["last_fault"]


def test_errands_run_in_steps_between_writes_and_one_that_raises_is_over() -> None:
    tier, done = Kept(), list[int]()

    def errand(number: int) -> Iterator[None]:
        for _ in range(5):
            done.append(number)
            yield
        raise ValueError("over")

    with running(tier) as runner:
        runner.run(errand(1))
        runner.offer([entry(number) for number in range(3 * TIER_BATCH_MAX)])
        wait_until(lambda: not runner.errands, what="the errand is over")
        wait_until(lambda: len(tier.kept) == 3 * TIER_BATCH_MAX, what="all is written")
        assert done == [1] * 5
        assert counts(runner)["raised"] == 1


def test_after_one_that_raised_the_next_errand_waits_too() -> None:
    def errand() -> Iterator[None]:
        began_at.append(time.monotonic())
        yield from ()
        raise OSError("it breaks off")

    began_at: list[float] = []
    with running(Kept()) as runner:
        for _ in range(2):
            runner.run(errand(), reads=True)
        wait_until(lambda: len(began_at) == 2, what="both are done")
    assert began_at[1] - began_at[0] >= 1


def test_an_errand_lets_what_waits_go_first_and_isnt_left_out_for_ever() -> None:
    class Told(Kept):
        def put(self, entries: Sequence[TierEntry]) -> None:
            order.append("put")

    def errand() -> Iterator[None]:
        for _ in range(3):
            order.append("step")
            yield

    order: list[str] = []
    runner = TierRunner(Told(), "", lambda _fault: None, lambda _runner: None)
    runner.offer([entry(number) for number in range(12 * TIER_BATCH_MAX)])
    runner.run(errand())
    runner.start()
    try:
        wait_until(lambda: order.count("put") == 12 and not runner.errands, what="all is done")
        assert order == ["put"] * 8 + ["step"] + ["put"] * 4 + ["step"] * 2
    finally:
        runner.close(60)


def test_figures_that_raise_are_none() -> None:
    class Odd(Kept):
        def figures(self) -> dict[str, int]:
            raise RuntimeError

    assert "entries" not in TierRunner(Odd(), "mine", lambda _fault: None, lambda _runner: None).to_plain()


def test_in_a_forked_child_it_does_nothing_more() -> None:
    runner = TierRunner(Kept(), "", lambda _fault: None, lambda _runner: None)
    runner.forked()
    assert not runner.ready
