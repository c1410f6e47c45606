"""When one VIP's sessions are taken from its door: between two pushes they wait there, without the interpreter.

Says when, and files them; `pump` sends. Only with the compiled callbacks is there a door.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from meshcache.core.mesh import MeshCore, made_at_door
from meshcache.core.replication.publisher_fast_path import ReadyPush
from meshcache.runtime.vip_ports.withheld import Made, Withheld

if TYPE_CHECKING:
    from meshcache.hot import Door

Row: TypeAlias = tuple[bytes, bytes, float, float, float, bool]
"""Of a door: id, DER, when a session was made, ends and its lineage began, and whether its settings are still those."""


_NEVER = math.inf


class Collecting:
    """Plans when one VIP's door is emptied, and files what waits there. Needs the core's lock, but for `deadline`.

    Reads no clock: `now` is the node's, read with the lock held by whoever calls. What the core is told of a session's
    end and of its age has to be by the clock that the session is looked up by.
    """

    def __init__(self, core: MeshCore, vip: str, door: Door | None) -> None:
        self._core = core
        self._vip = vip
        self._door = door
        self._until = 0.0
        self._looks = False

    def push(self, now: float, ahead_s: float, withheld: Withheld, *, looks: bool) -> ReadyPush | None:
        """File what waits at the door and return it as a push that is to leave at once; `looks` as in `plan`. None,
        with nothing done, where that can't be: `take` it.
        """
        waiting = len(self._door) if self._door is not None else 0
        if not waiting or self._door is None or withheld.on:
            return None
        ready = self._core.push_made(self._vip, self._door.push, waiting, now, ahead_s)
        if ready is not None:
            self._plan(ready.until, ahead_s, looks=looks)
        return ready

    def take(self, now: float, ahead_s: float, withheld: Withheld) -> float:
        """File what waits at the door, or hold it back; return when the core wants to send.

        `ahead_s` is what the node's clock is ahead of the door's.
        """
        due_at, door = _NEVER, self._door
        rows = door.take() if door is not None else []
        if rows and door is not None:
            for session_id, der, _made_at, expires_at, born_at, current in rows[
                self._together(rows, now, ahead_s, withheld) :
            ]:
                try:
                    self._file(session_id, der, expires_at, born_at, current, now, ahead_s, withheld)
                finally:
                    door.dismiss(session_id)
            due_at = self._core.next_deadline()
        return due_at

    def _together(self, rows: list[Row], now: float, ahead_s: float, withheld: Withheld) -> int:
        """File all with one call, where nothing is unusual about them. Return how many were, the first ones."""
        made = [
            made_at_door((name, der, at + ahead_s, ends + ahead_s, born + ahead_s))
            for name, der, at, ends, born, current in rows
            if der and current and ends + ahead_s > now
        ]
        if withheld.on or len(made) < len(rows):
            return 0
        return self._core.sessions_made(self._vip, made, now)

    def _file(
        self,
        session_id: bytes,
        der: bytes,
        expires_at: float,
        born_at: float,
        current: bool,
        now: float,
        ahead_s: float,
        withheld: Withheld,
    ) -> None:
        left_s = expires_at + ahead_s - now
        if not (current and der and left_s > 0):  # its VIP has changed since, or went
            return
        if withheld.on:
            withheld.add(Made(session_id, der, born_at + ahead_s, False, expires_at + ahead_s))
            return
        self._core.session_created(self._vip, session_id, der, now, born_at=born_at + ahead_s, lifetime_s=left_s)

    def plan(self, now: float, ahead_s: float, *, looks: bool) -> None:
        """Tell the door until when sessions may wait, after some were taken.

        With `looks` the pump takes the next ones without being woken: while sessions follow each other that is cheaper.
        When it then finds none it doesn't look again, and the next session is sent by who makes it.
        """
        if self._door is not None:
            self._plan(self._core.collects_until(self._vip, now), ahead_s, looks=looks)

    def _plan(self, until: float, ahead_s: float, *, looks: bool) -> None:
        assert self._door is not None, "asked before"
        self._until = until
        waiting = self._door.collect(until - ahead_s, looks)
        self._looks = looks or waiting > 0

    def deadline(self) -> float:
        """Return when what waits at the door is to be taken; never while nothing does, and nothing is expected."""
        return self._until if self._door is not None and (self._looks or len(self._door)) else _NEVER
