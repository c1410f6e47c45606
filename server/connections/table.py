"""Every open client connection of this server: how many there may be, and which have waited too long.

Has one timer for all of them, so a packet costs no timer: the clock that connections read is as coarse as the sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from ..faults import Faults
from ..tls import streams
from ..tls.stream import make_scratch
from .acceptor import Acceptor
from .holding import TicketHolders
from .silent_addresses import SilentAddresses

SWEEP_S_MAX = 1.0
"""How late a deadline may be noticed; looking at 10,000 connections takes about a millisecond."""

SWEEP_S_MIN = 0.02
"""Deadlines shorter than this times ten are for tests."""

REST_S = 10.0
"""Connections on which nothing happened in between give memory back; a look at 10,000 takes some milliseconds."""

CLOSE_S = 0.5
"""For last bytes and close_notify to leave before a process that has to stop does."""


class TrackedConnection(Protocol):
    """One connection, as the table sees it. ``deadline`` is in seconds of the table's clock."""

    deadline: float

    @property
    def shaking_hands(self) -> bool:
        """Whether a handshake has begun and isn't over."""

    def expired(self) -> None:
        """The deadline has passed: set another or end."""

    def rest(self) -> None:
        """Some seconds have passed."""

    def drain(self) -> None:
        """End as soon as nothing is in flight."""

    def close_now(self) -> None:
        """End at once, in order."""

    def abort_now(self) -> None:
        """End at once, without waiting for anything."""


class ConnectionTable:
    """The connections that are open; run by the loop that `start` is called on."""

    def __init__(self, connections_max: int, shortest_timeout_s: float, faults: Faults) -> None:
        self.connections_max = connections_max
        self.faults = faults
        self.silent = SilentAddresses()
        self.held = TicketHolders()
        self.draining = False
        self.scratch = make_scratch()
        self.now = 0.0
        self.acceptor: Acceptor | None = None
        """What accepts, where that is compiled; it holds connections that aren't here yet."""
        self._rest_at = 0.0
        self.tune(connections_max, shortest_timeout_s)
        self._entries: set[TrackedConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._clock: Callable[[], float] = lambda: 0.0
        self._emptied: asyncio.Event | None = None

    def tune(self, connections_max: int, shortest_timeout_s: float) -> None:
        """Take new limits; connections that are open stay."""
        self.connections_max = connections_max
        self.interval_s = min(SWEEP_S_MAX, max(SWEEP_S_MIN, shortest_timeout_s / 10))
        if self.acceptor is not None:
            self.acceptor.limit(connections_max)

    def __len__(self) -> int:
        return len(self._entries) + (0 if self.acceptor is None else self.acceptor.quiet)

    def __iter__(self) -> Iterator[TrackedConnection]:
        """Return every connection that is open, in no order, but those that the acceptor still holds."""
        return iter(tuple(self._entries))

    def start(self) -> None:
        """Start the clock and the sweep. To be called on the running loop, once."""
        self._clock = asyncio.get_running_loop().time
        if streams.compiled is not None:
            self.acceptor = Acceptor(streams.compiled, self.connections_max, self.silent, self.faults)
        self._sweep()

    def stop(self) -> None:
        """Stop the sweep, and end what an acceptor has not ended yet."""
        if self._timer is not None:
            self._timer.cancel()
        if self.acceptor is not None:
            self.acceptor.close()
            self.acceptor = None

    def after(self, timeout_s: float) -> float:
        """Return a deadline that is never early by the clock's coarseness."""
        return self.now + self.interval_s + timeout_s

    def admit(self, entry: TrackedConnection) -> bool:
        """Take a connection in; False, and counted, when there are as many as there may be."""
        if len(self) >= self.connections_max:
            self.faults.count("over max_connections")
            return False
        self.take(entry)
        return True

    def take(self, entry: TrackedConnection) -> None:
        """Take in one that was admitted before."""
        self._entries.add(entry)

    def handshakes(self) -> int:
        """Return how many handshakes have begun and aren't over."""
        return sum(entry.shaking_hands for entry in self._entries) + (
            0 if self.acceptor is None else self.acceptor.shaking
        )

    def remove(self, entry: TrackedConnection) -> None:
        """The connection is gone."""
        self._entries.discard(entry)
        self.held.pop(entry, None)  # type: ignore[call-overload]  # those that hold tickets are connections, too
        if self._emptied is not None and not self._entries:
            self._emptied.set()

    async def drain(self, within_s: float) -> None:
        """Let connections end: in their own time first, then in order, and at last whatever they have in flight.

        Takes `within_s`, and `CLOSE_S` more where clients don't take their last bytes.
        """
        self.draining = True
        self._emptied = asyncio.Event()
        if self.acceptor is not None:
            self.acceptor.hand_over()
        for entry in tuple(self._entries):
            entry.drain()
        if not await self._empty(within_s):
            for entry in tuple(self._entries):
                entry.close_now()
            await self._empty(CLOSE_S)
        self.abort()

    def abort(self) -> None:
        """End every connection at once."""
        if self.acceptor is not None:
            self.acceptor.hand_over()
        for entry in tuple(self._entries):
            entry.abort_now()

    async def _empty(self, within_s: float) -> bool:
        """Wait until there are no connections; false if there still are."""
        if self._entries and self._emptied is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), within_s)
        return not self._entries

    def _sweep(self) -> None:
        self.now = now = self._clock()
        try:
            self._mind(now)
        finally:  # a fault with one connection, such as no memory left, is logged and ends no other's deadline
            self._timer = asyncio.get_running_loop().call_later(self.interval_s, self._sweep)

    def _mind(self, now: float) -> None:
        if self.acceptor is not None:
            self.acceptor.expire(now)
        for entry in [entry for entry in self._entries if entry.deadline <= now]:
            entry.expired()
        if now >= self._rest_at:
            self._rest_at = now + REST_S
            for entry in tuple(self._entries):
                entry.rest()
        self.faults.report(now)
        self.silent.expire(now)
