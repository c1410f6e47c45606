"""Tells systemd how the server fares (sd_notify(3)); does nothing where nobody asked."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

ALIVE_S = 10
"""How much more time a start is given each time that it is heard of, which is twice a second."""

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""

TAKEN = "X_MESHCACHE_SETTINGS"
"""What only a group hears, of its workers; sd_notify(3) leaves names with X_ to whoever needs them."""


def sockets() -> list[socket.socket]:
    """Return the sockets that systemd has opened for this process (socket activation);
    children don't get them again.
    """
    told = {key: os.environ.pop(key, "") for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if told["LISTEN_PID"] != str(os.getpid()) or not told["LISTEN_FDS"].isdecimal():
        return []
    given = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(told["LISTEN_FDS"])):
        os.set_inheritable(descriptor, False)
        given.append(socket.socket(fileno=descriptor))
    return given


def ready(status: str = "") -> None:
    """Serving, or serving again after a reload; `status` is one line for ``systemctl status``."""
    _notify("READY=1" + (f"\nSTATUS={status}" if status else ""))


def starting(status: str) -> None:
    """Tell systemd that this isn't serving yet, and isn't stuck; `status` is one line for ``systemctl status``.

    A start that waits for longer than TimeoutStartSec= (90 s by default) would be ended, so say it again within
    `ALIVE_S`, until `ready`.
    """
    _notify(f"EXTEND_TIMEOUT_USEC={ALIVE_S * 1_000_000}\nSTATUS={status}")


def reloading() -> None:
    """Rereading the configuration; `ready` ends it."""
    _notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """Draining."""
    _notify("STOPPING=1")


def taken(number: int | None) -> None:
    """These settings of its group a worker has now; None: what it has read in the file by itself."""
    _notify(f"{TAKEN}={'' if number is None else number}")


def _notify(state: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        notifier.setblocking(False)  # whoever doesn't listen must not stop us
        notifier.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
