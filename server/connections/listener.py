"""One listening address: makes a connection of everyone who comes, for the VIPs that are served there today."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial

from ..addresses import join_address, split_address
from .adopted import adopt
from .connection import ClientConnection
from .routes import Routes
from .table import ConnectionTable

BACKLOG = 1024
"""Connections the kernel accepts while we do a slow handshake; Linux caps it at net.core.somaxconn (4096)."""


DEFER_S = 3
"""How long the kernel waits for a client's first byte before it hands over a connection without one, so that a silent
client meets ``handshake_timeout_s`` in the end."""


class Listener:
    """An address to listen on: `bind` takes it, `listen` lets clients in, `serve` accepts, also by new routes."""

    def __init__(self, address: str, table: ConnectionTable) -> None:
        self.address = address
        self._table = table
        self._server: asyncio.Server | None = None
        self._leave: Callable[[], None] | None = None
        self.bound_address = address
        """With the port that was really bound, where the configured one is 0."""

    @property
    def listening(self) -> socket.socket:
        """The listening socket, to be passed on."""
        return self._socket

    def adopt(self, given: socket.socket, *, listens: bool = True) -> None:
        """Take a socket that listens already, systemd's or another process's; what it was set to is set anew. Or one
        that only holds its address yet.
        """
        given.setblocking(False)
        if given.family in (socket.AF_INET, socket.AF_INET6):
            given.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_S)
        if listens:
            given.listen(BACKLOG)
        self._socket = given
        self.bound_address = join_address(*given.getsockname()[:2])

    def pause(self) -> None:
        """Accept no more for now; who comes waits in the kernel's queue, as long as anybody has the socket."""
        if self._leave is not None:
            self._leave()
        if self._server is not None:
            kept = self._socket.dup()
            self._server.close()
            self._server, self._socket = None, kept

    def bind(self) -> None:
        """Take the address, so that a fault is known before anything is changed. Raises OSError."""
        host, port = split_address(self.address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            # A restart mustn't wait for connections of the last run to time out (TIME_WAIT).
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # so that [::] and 0.0.0.0 can be two listeners
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # A client that sends nothing isn't accepted yet (tcp(7)): a TCP check that ends with a reset never is.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_S)
            # With a two-tuple Python drops the interface behind the percent sign of a link-local address.
            self._socket.bind(socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)[0][4])
        except OSError:
            self._socket.close()
            raise
        self.bound_address = join_address(*self._socket.getsockname()[:2])

    def listen(self) -> None:
        """Let the kernel take connections, which wait to be accepted. Raises OSError. May be called again."""
        self._socket.listen(BACKLOG)

    async def serve(self, routes: Routes) -> None:
        """Give new connections these routes, and begin to accept them; those that are open keep what they have."""
        self.routes = routes
        acceptor = self._table.acceptor
        if acceptor is not None:
            self.listen()
            self._leave = acceptor.serve(self._socket, routes, partial(adopt, self._table, routes))
        elif self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connection, sock=self._socket, backlog=BACKLOG)

    def close(self) -> None:
        """Give the address back; connections that are open stay."""
        if self._leave is not None:
            self._leave()
        if self._server is not None:
            self._server.close()
        else:
            self._socket.close()

    def _connection(self) -> ClientConnection:
        return ClientConnection(self.routes, self._table)
