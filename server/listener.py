"""One listening address of a VIP: makes a connection of everyone who comes, with the service of today."""

from __future__ import annotations

import asyncio
import socket

from .addresses import join_address, split_address
from .connection import ClientConnection
from .service import Service
from .table import Table

BACKLOG = 1024
"""Connections the kernel accepts while we do a slow handshake; Linux caps it at net.core.somaxconn (4096)."""


class Listener:
    """An address to listen on: `bind` takes it, `serve` begins to accept, and `serve` again replaces the service."""

    def __init__(self, address: str, table: Table) -> None:
        self.address = address
        self._table = table
        self._server: asyncio.Server | None = None
        self.bound_address = address
        """With the port that was really bound, where the configured one is 0."""

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
            self._socket.bind((host, port))
            self._socket.listen(BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self.bound_address = join_address(*self._socket.getsockname()[:2])

    async def serve(self, service: Service) -> None:
        """Give new connections this service, and begin to accept them; those that are open keep the one they have."""
        self._service = service
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connection, sock=self._socket, backlog=BACKLOG)

    def close(self) -> None:
        """Give the address back; connections that are open stay."""
        if self._server is not None:
            self._server.close()
        else:
            self._socket.close()

    def _connection(self) -> ClientConnection:
        return ClientConnection(self._service, self._table)
