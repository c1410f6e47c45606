"""Backend connections whose client is gone: each gets what the client sent before it is told how the client ended.

A client that ended properly leaves a FIN behind its last byte. One that was cut short leaves a reset, so that nobody
takes half a message for a whole one (truncation, RFC 8446 section 6.1); but a reset throws away what the kernel has not
delivered, and readers such as asyncio's `StreamReader` drop what they hold when it arrives. So it waits until the
backend's kernel has every byte, and a little longer for the backend to read them.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from ..resets import reset

FLUSH_S = 5.0
"""For the backend to take the last bytes of a client that is gone; a backend that takes none for this long is reset."""

READ_S = 1.0
"""For the backend to read what its kernel has, before a reset follows. No end can see how far the other has read."""

LOOK_S = 0.05
"""Between two looks at how much is still on its way."""

LEAVING_MAX = 1024
"""At one time; above it the oldest is reset at once, so that clients that come and go can't hold more descriptors."""

_SIOCOUTQ = 0x5411
"""Bytes in the send queue that the other end hasn't acknowledged (tcp(7)), or not read (unix(7)); Linux's TIOCOUTQ."""


class Leaving:
    """The backend connections of one server whose client is gone. Belongs to the loop's thread."""

    def __init__(self) -> None:
        self._timers: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def in_order(self, transport: asyncio.Transport) -> None:
        """Send what waits and FIN; whatever the backend still says is of no use to anybody."""
        transport.close()
        self._keep(transport, FLUSH_S)

    def cut_short(self, transport: asyncio.Transport) -> None:
        """Send what waits, let the backend read it, then reset."""
        transport.resume_reading()  # so that the backend's own end is seen
        self._look(transport, asyncio.get_running_loop().time() + FLUSH_S)

    def gone(self, transport: asyncio.Transport) -> None:
        """The connection has ended by itself."""
        timer = self._timers.pop(transport, None)
        if timer is not None:
            timer.cancel()

    async def drain(self, within_s: float = READ_S + 2 * LOOK_S) -> None:
        """Give all of them this long to end by themselves, then end them: for a process that has to stop."""
        until = asyncio.get_running_loop().time() + within_s
        while self._timers and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110  # once, at the very end
            await asyncio.sleep(LOOK_S)
        self.abort()

    def abort(self) -> None:
        """End all of them now: those that were cut short, and those whose last bytes nobody takes, with a reset."""
        for transport in tuple(self._timers):
            self._reset(transport)

    def _look(self, transport: asyncio.Transport, until: float) -> None:
        now = asyncio.get_running_loop().time()
        if now >= until:
            self._reset(transport)
        elif transport.get_write_buffer_size() == 0 and _unacknowledged(transport) == 0:
            self._keep(transport, READ_S)
        else:
            self._timer(transport, LOOK_S, self._look, transport, until)

    def _keep(self, transport: asyncio.Transport, within_s: float) -> None:
        self._timer(transport, within_s, self._reset, transport)

    def _timer(
        self, transport: asyncio.Transport, delay_s: float, call: Callable[..., None], *arguments: object
    ) -> None:
        if len(self._timers) >= LEAVING_MAX and transport not in self._timers:
            self._reset(next(iter(self._timers)))
        self._timers[transport] = asyncio.get_running_loop().call_later(delay_s, call, *arguments)

    def _reset(self, transport: asyncio.Transport) -> None:
        self.gone(transport)
        reset(transport)


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Return bytes that the backend's kernel has not confirmed; 0 where that can't be asked."""
    link: socket.socket | None = transport.get_extra_info("socket")
    answer = bytearray(4)
    if link is not None:
        with suppress(OSError, ValueError):
            fcntl.ioctl(link.fileno(), _SIOCOUTQ, answer)
    return int(struct.unpack("i", answer)[0])
