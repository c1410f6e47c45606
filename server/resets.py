"""What is asked of TCP itself. The two ends of a connection: FIN after all that was written, or RST where that would
pass what was cut short for complete; and acknowledgements without delay."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

_NO_LINGER = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """End the connection with RST. `abort` of a transport only forgets what is unsent: the kernel then says FIN."""
    link = transport.get_extra_info("socket")
    if link is not None:
        with suppress(OSError, ValueError):  # it is gone already, which uvloop says with the second
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def end_writing(transport: asyncio.WriteTransport) -> None:
    """Send FIN after what waits to be sent. One that was reset meanwhile is lost anyway, which will be told."""
    with suppress(OSError):  # asyncio's transport calls shutdown(2) at once where nothing waits; uvloop's doesn't raise
        transport.write_eof()


def acknowledge_early(transport: asyncio.BaseTransport) -> None:
    """Turn delayed acknowledgements off for what comes next (tcp(7), TCP_QUICKACK)."""
    link = transport.get_extra_info("socket")
    if link is not None:
        with suppress(OSError):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
