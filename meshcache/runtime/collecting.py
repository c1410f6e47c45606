"""When one VIP's sessions are taken from its door: between two pushes they wait there, without the interpreter.

Says when; `session_ports` takes them, and `pump` sends. Only with the compiled callbacks is there a door.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from meshcache.core.mesh import MeshCore

if TYPE_CHECKING:
    from meshcache.hot import Door


class Collecting:
    """Used with the core's lock held, but for `deadline`."""

    def __init__(self, core: MeshCore, vip: str, clock: Callable[[], float], door: Door | None) -> None:
        self._core = core
        self._vip = vip
        self._clock = clock
        self._door = door
        self._until = 0.0
        self._looks = False

    def plan(self, ahead_s: float, *, looks: bool) -> None:
        """Tell the door until when sessions may wait, after some were taken; `ahead_s` is what the core's clock is
        ahead of the door's.

        With `looks` the pump takes the next ones without being woken: while sessions follow each other that is cheaper.
        When it then finds none it doesn't look again, and the next session is sent by who makes it.
        """
        if self._door is None:
            return
        self._until = self._core.collects_until(self._vip, self._clock())
        waiting = self._door.collect(self._until - ahead_s, looks)
        self._looks = looks or waiting > 0

    def deadline(self) -> float:
        """Return when what waits at the door is to be taken; never while nothing does, and nothing is expected."""
        return self._until if self._door is not None and (self._looks or len(self._door)) else math.inf
