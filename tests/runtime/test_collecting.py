"""When the door's sessions are taken: at once, or together with those that follow."""

from __future__ import annotations

import math
from typing import Any, cast

from meshcache.core.mesh import MeshCore
from meshcache.runtime.collecting import Collecting


class Core:
    """Collects for ten milliseconds."""

    def collects_until(self, vip: str, now: float) -> float:
        assert vip == "shop"
        return now + 0.01


class Door:
    """A door in which as many wait as a test says."""

    def __init__(self) -> None:
        self.waiting = 0
        self.told: list[tuple[float, bool]] = []

    def __len__(self) -> int:
        return self.waiting

    def collect(self, until: float, looks: bool) -> int:
        self.told.append((until, looks))
        return self.waiting


def collecting(door: Door | None) -> Collecting:
    return Collecting(cast(MeshCore, Core()), "shop", lambda: 100.0, cast(Any, door))


def test_without_a_door_there_is_nothing_to_take() -> None:
    each = collecting(None)
    each.plan(0.0, looks=True)
    assert each.deadline() == math.inf


def test_who_was_woken_looks_when_something_waits() -> None:
    door = Door()
    each = collecting(door)
    each.plan(100.0, looks=False)
    assert door.told == [(100.01 - 100.0, False)], "by the door's clock"
    assert each.deadline() == math.inf
    door.waiting = 1
    assert each.deadline() == 100.01


def test_while_sessions_follow_each_other_the_next_are_taken_unasked() -> None:
    door = Door()
    each = collecting(door)
    each.plan(0.0, looks=True)
    assert each.deadline() == 100.01, "nobody has to wake the pump"
    each.plan(0.0, looks=False)
    assert each.deadline() == math.inf


def test_what_came_while_it_decided_not_to_look_is_not_forgotten() -> None:
    door = Door()
    each = collecting(door)
    door.waiting = 2
    each.plan(0.0, looks=False)
    door.waiting = 0
    assert each.deadline() == 100.01, "somebody may have been told that the pump looks"
