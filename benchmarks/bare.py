"""The yardstick: the server side of a handshake with pyOpenSSL and OpenSSL's own cache, in memory, no socket, no loop.

The same stdlib client as on the wire answers it. Only the server's calls are timed, a stage of many connections at a
time, so that reading the clock costs nothing.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path

from OpenSSL import SSL

from benchmarks.handshake import client_context
from benchmarks.material import NAME, VIP
from benchmarks.own_cache import use_own_cache

STAGE = 50
"""Connections that are in the same stage at a time."""

_READ_BYTES = 65536


class Bare:
    """A server context with its own cache and a client for one protocol version."""

    def __init__(self, folder: Path, version: str, set_up: Callable[[SSL.Context], object] = use_own_cache) -> None:
        self._version = version
        self._server = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._server.use_certificate_chain_file(str(folder / f"{VIP}.pem"))
        self._server.use_privatekey_file(str(folder / f"{VIP}.key"))
        set_up(self._server)
        self._client = client_context(version)
        self._session: ssl.SSLSession | None = None

    def cpu_ns(self, count: int, *, resumed: bool) -> float:
        """CPU of the server's side of one handshake, in nanoseconds, over about `count` of them."""
        if resumed and self._session is None:
            self._stage(1, resumed=False)
        stages = max(1, count // STAGE)
        return sum(self._stage(STAGE, resumed=resumed) for _ in range(stages)) / (stages * STAGE)

    def _stage(self, count: int, *, resumed: bool) -> int:
        clients = [_Client(self._client, self._session if resumed else None) for _ in range(count)]
        hellos = [client.step(b"") for client in clients]
        started = time.thread_time_ns()
        servers = [self._accept(hello) for hello in hellos]
        spent = time.thread_time_ns() - started
        finishes = [client.step(answer) for client, (_, answer) in zip(clients, servers, strict=True)]
        started = time.thread_time_ns()
        tickets = [_finish(server, finish) for (server, _), finish in zip(servers, finishes, strict=True)]
        spent += time.thread_time_ns() - started
        for client, ticket in zip(clients, tickets, strict=True):
            client.step(ticket)
            assert client.tls.session_reused == resumed, "the yardstick must do what it says"
        self._session = clients[-1].tls.session
        started = time.thread_time_ns()
        servers.clear()
        return spent + time.thread_time_ns() - started

    def _accept(self, hello: bytes) -> tuple[SSL.Connection, bytes]:
        """What the client's first flight causes: a connection is made and answers."""
        connection = SSL.Connection(self._server, None)
        connection.set_accept_state()
        connection.bio_write(hello)
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            return connection, connection.bio_read(_READ_BYTES)
        raise AssertionError("no handshake ends with the client's first flight")


class _Client:
    """The client's end, in memory."""

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=NAME, session=session)
        self._done = False

    def step(self, received: bytes) -> bytes:
        """Feed what the server said; what the client says to it."""
        self._incoming.write(received)
        try:
            if self._done:
                self.tls.read(1)  # the TLS 1.3 ticket is processed by reading
            else:
                self.tls.do_handshake()
                self._done = True
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()


def _finish(connection: SSL.Connection, finish: bytes) -> bytes:
    """What the client's last flight causes; the connection counts as cleanly closed, or its session would go."""
    connection.bio_write(finish)
    connection.do_handshake()
    connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
    try:
        return connection.bio_read(_READ_BYTES)
    except SSL.WantReadError:
        return b""
