"""Waits for what a paused handshake waits for, and lets it go on. Knows the loop; what is waited for is the node's.

The connection is read no further meanwhile: a client has nothing to add to its ClientHello, and what it sends would
pile up.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from ..tls.stream import StreamError
from .service import AwaitedLookup, Service

if TYPE_CHECKING:
    from ..tls.streams import AnyStream


PART_OF_TIMEOUT = 0.5
"""How much of ``handshake_timeout_s`` a pause may take, whatever the VIP's waits say: with what is left the client gets
a full handshake in place of none."""


class Paused(Protocol):
    """The connection, as far as it waits."""

    transport: asyncio.Transport

    @property
    def shaking_hands(self) -> bool:
        """Whether its handshake has begun and isn't over."""

    def data_received(self, data: bytes) -> None:
        """Go on with the handshake, also with no data."""


def wait(connection: Paused, service: Service, stream: AnyStream) -> None:
    """Wait for a handshake that `stream` says is paused; it goes on by itself. Raises StreamError for one that nobody
    paused.
    """
    lookup = service.mesh.paused(stream.handle)
    if lookup is None:
        raise StreamError("paused by nobody")
    connection.transport.pause_reading()
    _Waiting(connection, stream, lookup, PART_OF_TIMEOUT * service.handshake_timeout_s).begin()


class _Waiting:
    """One wait: ends when the lookup is over, at its time, or when the connection is freed."""

    __slots__ = ("_connection", "_ends_at", "_lookup", "_loop", "_stream", "_timer")

    def __init__(self, connection: Paused, stream: AnyStream, lookup: AwaitedLookup, seconds_max: float) -> None:
        self._connection = connection
        self._stream = stream
        self._lookup = lookup
        self._ends_at = time.monotonic() + seconds_max
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._stream.call_when_freed(self._gone)
        self._lookup.watch(self._answered)
        self._arm(self._lookup.until)

    def _answered(self) -> None:
        """From any thread, and perhaps while the loop ends."""
        try:
            self._loop.call_soon_threadsafe(self._step)
        except RuntimeError:  # it is closed: nobody waits any more
            return

    def _arm(self, until: float) -> None:
        self._timer = self._loop.call_later(max(min(until, self._ends_at) - time.monotonic(), 0.0), self._step)

    def _step(self) -> None:
        if self._lookup.over:
            return  # the answer and the time came together, or the client is gone
        if self._timer is not None:
            self._timer.cancel()
        until = self._lookup.go_on()
        if until is not None and time.monotonic() < self._ends_at:
            self._arm(until)
            return
        self._lookup.cancel()  # if it isn't over
        self._stream.call_when_freed(None)
        connection = self._connection
        if connection.shaking_hands:
            connection.transport.resume_reading()
            connection.data_received(b"")

    def _gone(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._lookup.cancel()
