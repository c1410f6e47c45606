"""A load balancer in front of several servers: hands out connections in turn, as a VIP does, and knows no TLS.

With it a client that only ever connects to one address (curl, Node, GnuTLS) comes back to another server.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from types import TracebackType
from typing import Self

IDLE_S_MAX = 60.0
"""A connection of a test that is silent for so long is forgotten."""


class Balancer:
    """Listens on a free port of 127.0.0.1; the first connection goes to the first of `backends`, and so on in turn.

    ``before`` is called before each connection but the first goes on, and may hold it up: so a client that comes back
    at once can be made to come back when its session has.
    """

    def __init__(self, backends: Sequence[tuple[str, int]], before: Callable[[], object] = lambda: None) -> None:
        self._backends = cycle(backends)
        self._before = before
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()
        return host, port

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(IDLE_S_MAX)

    def _run(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._sockets:
                self._before()
            server = socket.create_connection(next(self._backends), IDLE_S_MAX)
            client.settimeout(IDLE_S_MAX)
            self._sockets += [client, server]
            self._run(_copy, client, server)
            self._run(_copy, server, client)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while some := source.recv(65_536):
            target.sendall(some)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
