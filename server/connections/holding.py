"""Holds session tickets back until their client speaks or was silent for a moment (`limits.HOLD_S` says why).

One timer for all connections of a loop: a client's own, made and thrown away in each TLS 1.3 handshake, took some
microseconds and kept what belonged to a connection alive after its end.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..limits import HOLD_S


class Holder(Protocol):
    """A connection that holds tickets."""

    def let_go(self) -> bool:
        """Its client was silent for so long: send them. False: not now."""


class TicketHolders(dict[Holder, float]):
    """The connections of one loop that hold tickets, whose client spoke longest ago first, and until when.

    A dictionary, since each connection asks whether it is here and leaves it: ``pop(connection, None)`` when it holds
    nothing any more.
    """

    __slots__ = ("_loop", "_timer")

    def __init__(self) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def hold(self, holder: Holder) -> None:
        """Call `let_go` once this client has been silent for `HOLD_S`, at most a tenth of that later; begins anew for
        one that is here already.
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        self.pop(holder, None)
        self[holder] = loop.time() + HOLD_S
        if self._timer is None:
            self._timer = loop.call_later(HOLD_S, self._look)

    def again(self, holder: Holder) -> None:
        """Let the silence of this client begin now, if it is here."""
        if holder in self:
            self.hold(holder)

    def _look(self) -> None:
        loop = self._loop
        assert loop is not None, "hold() was called"
        self._timer = None
        now = loop.time()
        over = []
        for holder, at in self.items():
            if at > now:
                break
            over.append(holder)
        for holder in over:
            if self.pop(holder, None) is not None and not holder.let_go():
                self.hold(holder)
        if self and self._timer is None:
            rest_s = next(iter(self.values())) - now
            self._timer = loop.call_later(max(rest_s, HOLD_S / 10), self._look)
