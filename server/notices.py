"""Hears what workers tell of themselves: they tell it as they would tell systemd (sd_notify(3)), to this socket."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

NOTICE_BYTES_MAX = 4096
"""systemd takes no more either."""

NOTICES_MAX = 64
"""Read at one time, so that a worker that floods doesn't keep the loop."""

_CREDENTIALS = struct.Struct("3i")

Heard = Callable[[int, dict[str, str]], None]
"""Told of each notice: the process that it is from, by the kernel's word, and what it says."""


class Notices:
    """The socket, from `open` to `close`. Its name is abstract (unix(7)), so nothing is left in a folder; anybody on
    the host may write to it, and the kernel says who did.
    """

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._name = f"meshcache-{os.getpid()}-{secrets.token_hex(8)}"
        self._socket: socket.socket | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear from now on."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(f"\0{self._name}")
        loop.add_reader(self._socket.fileno(), self._read)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear no more."""
        if self._socket is not None:
            loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def environment(self) -> dict[str, str]:
        """Return this process's environment as a worker gets it."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LISTEN_")}
        return kept | {"NOTIFY_SOCKET": f"@{self._name}"}

    def _read(self) -> None:
        for _ in range(NOTICES_MAX):
            if self._socket is None:
                return
            with suppress(BlockingIOError):
                data, ancillary, _, _ = self._socket.recvmsg(NOTICE_BYTES_MAX, socket.CMSG_SPACE(_CREDENTIALS.size))
                for level, kind, content in ancillary:
                    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                        self._heard(_CREDENTIALS.unpack(content)[0], _words(data))
                continue
            return


def _words(data: bytes) -> dict[str, str]:
    lines = data.decode("utf-8", "replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
