"""When the door's sessions are taken: at once, or together with those that follow."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from meshcache.core.mesh import MadeAtDoor, MeshCore
from meshcache.core.replication.publisher_fast_path import ReadyPush
from meshcache.runtime.vip_ports.collecting import Collecting, Row
from meshcache.runtime.vip_ports.withheld import Withheld


class Core:
    """Collects for ten milliseconds, and takes as many together as a test says."""

    def __init__(self, together: int = 99) -> None:
        self.together = together
        self.made: list[bytes] = []
        self.created: list[tuple[bytes, float, float]] = []
        self.ready: ReadyPush | None = None
        self.pushed: list[tuple[str, object, int, float, float]] = []

    def sessions_made(self, vip: str, made: list[MadeAtDoor], now: float) -> int:
        assert (vip, now) == ("shop", 100.0)
        assert all(each.expires_at > now for each in made)
        self.made += [each.id for each in made[: self.together]]
        return min(self.together, len(made))

    def session_created(
        self, vip: str, session_id: bytes, der: bytes, now: float, *, born_at: float, lifetime_s: float
    ) -> float:
        assert (vip, der, now) == ("shop", b"der", 100.0)
        self.created.append((session_id, born_at, lifetime_s))
        return 100.0

    def next_deadline(self) -> float:
        return 101.0

    def push_made(self, vip: str, push: object, waiting: int, now: float, ahead_s: float) -> ReadyPush | None:
        self.pushed.append((vip, push, waiting, now, ahead_s))
        return self.ready

    def collects_until(self, vip: str, now: float) -> float:
        assert vip == "shop"
        return now + 0.01


class Door:
    """A door in which as many wait as a test says."""

    def __init__(self) -> None:
        self.waiting = 0
        self.told: list[tuple[float, bool]] = []
        self.rows: list[Row] = []
        self.dismissed: list[bytes] = []

    def push(self) -> None:
        """Stands for the method that the core is given."""

    def take(self) -> list[Row]:
        rows, self.rows = self.rows, []
        return rows

    def dismiss(self, session_id: bytes) -> None:
        self.dismissed.append(session_id)

    def __len__(self) -> int:
        return self.waiting

    def collect(self, until: float, looks: bool) -> int:
        self.told.append((until, looks))
        return self.waiting


def collecting(door: Door | None, core: Core | None = None) -> Collecting:
    return Collecting(cast(MeshCore, core or Core()), "shop", cast(Any, door))


def row(session_id: bytes, der: bytes = b"der", ends_at: float = 60.0, current: bool = True) -> Row:
    """By the door's clock, which is 50 seconds behind."""
    return (session_id, der, 49.9, ends_at, 49.0, current)


def test_without_a_door_there_is_nothing_to_take() -> None:
    each = collecting(None)
    each.plan(100.0, 0.0, looks=True)
    assert each.deadline() == math.inf


def test_who_was_woken_looks_when_something_waits() -> None:
    door = Door()
    each = collecting(door)
    each.plan(100.0, 100.0, looks=False)
    assert door.told == [(100.01 - 100.0, False)], "by the door's clock"
    assert each.deadline() == math.inf
    door.waiting = 1
    assert each.deadline() == 100.01


def test_while_sessions_follow_each_other_the_next_are_taken_unasked() -> None:
    door = Door()
    each = collecting(door)
    each.plan(100.0, 0.0, looks=True)
    assert each.deadline() == 100.01, "nobody has to wake the pump"
    each.plan(100.0, 0.0, looks=False)
    assert each.deadline() == math.inf


def test_what_came_while_it_decided_not_to_look_is_not_forgotten() -> None:
    door = Door()
    each = collecting(door)
    door.waiting = 2
    each.plan(100.0, 0.0, looks=False)
    door.waiting = 0
    assert each.deadline() == 100.01, "somebody may have been told that the pump looks"


def test_what_waits_is_filed_by_one_call() -> None:
    door, core = Door(), Core()
    door.rows = [row(b"a"), row(b"b")]
    assert collecting(door, core).take(100.0, 50.0, Withheld()) == 101.0
    assert (core.made, core.created, door.dismissed) == ([b"a", b"b"], [], [])


def test_nothing_waits_and_nothing_is_wanted() -> None:
    assert (
        collecting(Door()).take(100.0, 50.0, Withheld()) == collecting(None).take(100.0, 50.0, Withheld()) == math.inf
    )


def test_from_the_first_that_cant_be_filed_so_each_is_filed_by_itself() -> None:
    door, core = Door(), Core(together=1)
    door.rows = [row(b"a"), row(b"b"), row(b"c")]
    collecting(door, core).take(100.0, 50.0, Withheld())
    assert core.made == [b"a"]
    assert core.created == [(b"b", 99.0, 10.0), (b"c", 99.0, 10.0)]
    assert door.dismissed == [b"b", b"c"]


@pytest.mark.parametrize("odd", [row(b"x", der=b""), row(b"x", ends_at=50.0), row(b"x", current=False)])
def test_what_is_over_or_of_other_settings_is_left_out(odd: Row) -> None:
    door, core = Door(), Core()
    door.rows = [row(b"a"), odd, row(b"b")]
    collecting(door, core).take(100.0, 50.0, Withheld())
    assert core.made == []
    assert [session_id for session_id, *_ in core.created] == [b"a", b"b"]
    assert door.dismissed == [b"a", b"x", b"b"], "nothing of it stays in the table"


def test_what_a_doubtful_handshake_made_is_held_back() -> None:
    door, core, withheld = Door(), Core(), Withheld()
    withheld.begin()
    door.rows = [row(b"a"), row(b"b")]
    collecting(door, core).take(100.0, 50.0, withheld)
    assert (core.made, core.created) == ([], [])
    assert b"a" in withheld
    assert b"b" in withheld
    assert door.dismissed == [b"a", b"b"]


@pytest.mark.parametrize("looks", [True, False])
def test_what_the_core_makes_a_push_of_tells_until_when_the_next_may_wait(looks: bool) -> None:
    door, core = Door(), Core()
    door.waiting = 3
    core.ready = ReadyPush(b"push", 3, ["x:1"], 100.008)
    each = collecting(door, core)
    assert each.push(100.0, 50.0, Withheld(), looks=looks) is core.ready
    assert core.pushed == [("shop", door.push, 3, 100.0, 50.0)]
    assert door.told == [(100.008 - 50.0, looks)]
    door.waiting = 0
    assert each.deadline() == 100.008, "the pump looks, or was about to"


def test_what_the_core_leaves_stays_where_it_is() -> None:
    door, core = Door(), Core()
    door.waiting = 3
    assert collecting(door, core).push(100.0, 50.0, Withheld(), looks=True) is None
    assert (len(core.pushed), door.told) == (1, [])


def test_of_nothing_or_of_what_is_held_back_no_push_is_made() -> None:
    door, core, withheld = Door(), Core(), Withheld()
    core.ready = ReadyPush(b"push", 3, ["x:1"], 100.008)
    assert collecting(None, core).push(100.0, 50.0, withheld, looks=True) is None
    assert collecting(door, core).push(100.0, 50.0, withheld, looks=True) is None
    door.waiting = 1
    withheld.begin()
    assert collecting(door, core).push(100.0, 50.0, withheld, looks=True) is None
    assert core.pushed == []
