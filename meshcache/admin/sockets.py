"""Opens the sockets of the admin interface so that the wrong people can't reach them, nor too many; speaks nothing on
them.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from meshcache.admin.client import answers
from meshcache.config.values import split_address
from meshcache.errors import ConfigError

BACKLOG = 64
"""Connections that wait to be accepted; operators and scrapers come by the handful."""

LOCK_S = 2.0
"""How long another node may take to open or remove its socket in the same folder; it takes milliseconds. In a folder
such as /tmp anybody can hold the lock, and must not hold us up with it."""

_MODE = 0o600


def open_unix(path: Path) -> socket.socket:
    """Return a listening Unix socket at `path` that only its owner may connect to.

    Creates the folder, for its owner only. A socket file whose process is gone is replaced.
    Raises ConfigError when the path is in use, is something else than a socket, or can't be had.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _folder_locked(path.parent):
            _remove_dead(path)
            return _listen_unix(path)
    except OSError as error:
        raise ConfigError([f"admin.socket: {path} can't be had: {_reason(error)}"]) from None


def open_http(address: str) -> socket.socket:
    """Return a listening TCP socket at `address`, ``host:port``; port 0 picks one.
    Raises ConfigError when it can't be had.
    """
    host, port = split_address(address)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError([f"admin.http: {address} can't be had: {_reason(error)}"]) from None
    return listener


class AcceptedConnections:
    """Those that were accepted and are open. Counts descriptors, from accept(2) to close(2): TLS that was never begun,
    or never ended, holds one as well.
    """

    def __init__(self, connections_max: int, stall_s: float) -> None:
        """One whose peer takes nothing in `stall_s` of what waits for it is ended by the kernel."""
        self._connections_max = connections_max
        self._stall_ms = int(stall_s * 1000)
        self._accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def admit(self, connection: socket.socket) -> bool:
        """Return whether there is room for one more, and count it."""
        for each in list(self._accepted):
            if each.fileno() < 0:
                self._accepted.discard(each)
        if len(self._accepted) >= self._connections_max:
            return False
        if connection.family != socket.AF_UNIX:
            # Also where it reads nothing, and only tells that it lives (tcp(7)): asyncio waits for such a one for ever.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._stall_ms)
        self._accepted.add(connection)
        return True


class BoundedListener(socket.socket):
    """A copy of a listening socket that closes at once whom there is no room for. asyncio accepts with it, but none of
    its protocols sees a connection before TLS.
    """

    def __init__(self, listener: socket.socket, connections: AcceptedConnections) -> None:
        super().__init__(listener.family, listener.type, listener.proto, os.dup(listener.fileno()))
        self._connections = connections

    def accept(self) -> tuple[socket.socket, Any]:
        """Return a connection that there is room for. Raises BlockingIOError where none waits, as the loop expects."""
        for _ in range(BACKLOG):  # and then others of the loop have their turn
            connection, address = super().accept()
            if self._connections.admit(connection):
                return connection, address
            connection.close()
        raise BlockingIOError


def remove_unix(path: Path, listener: socket.socket) -> None:
    """Close `listener` and remove its socket file, unless another process has put its own there since."""
    try:
        with _folder_locked(path.parent):
            if not answers(path):
                listener.close()
                return
            listener.close()
            if not answers(path):
                path.unlink(missing_ok=True)
    except OSError:
        listener.close()  # the folder is gone, and the file with it


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    """Two nodes that start at once must not both find the same file dead and remove each other's (flock(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor, time.monotonic() + LOCK_S)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _remove_dead(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError([f"admin.socket: {path} is there already and is no socket; name another path"])
    if answers(path):
        fault = (
            f"admin.socket: a node answers at {path} already; is this one running? A second node needs a name of its "
            "own (node.name) or another admin.socket"
        )
        raise ConfigError([fault])
    path.unlink()


def _listen_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(OSError):
            # Linux makes the file with the socket's own mode. umask() would be the whole process's, other threads' too.
            os.fchmod(listener.fileno(), _MODE)
        listener.bind(str(path))
        if stat.S_IMODE(path.lstat().st_mode) != _MODE:
            path.chmod(_MODE)  # elsewhere; nobody can connect before listen() (unix(7))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
