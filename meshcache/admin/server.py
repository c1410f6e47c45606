"""Runs the admin interface of one node on a thread of its own, so that it never waits for the program around the node.

Opens what `[admin]` names and answers with `api`; decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self, cast

from aiohttp import web
from aiohttp.http import HttpProcessingError

from meshcache.admin.api import AdminNode, http_app, unix_app
from meshcache.admin.certificate import LOOK_S, AdminCertificate
from meshcache.admin.descriptor_shortage import DescriptorShortage
from meshcache.admin.sockets import AcceptedConnections, BoundedListener, open_http, open_unix, remove_unix
from meshcache.admin.token_file import load_token
from meshcache.config import AdminSettings
from meshcache.config.values import join_address
from meshcache.edges import native
from meshcache.errors import ConfigError

CONNECTIONS_MAX: Final = 64
"""On each listener. Scrapers, dashboards and operators stay below; a flood ends here, before it takes the file
descriptors that TLS connections need. Counted from accept(2) on."""

IDLE_S: Final = 15.0
"""How long a connection may be open without a whole request, or without TLS, or without taking anything of an answer;
a drip of bytes doesn't extend it."""

STOP_S: Final = 2.0
"""How long a request that is being answered may keep the node from stopping."""

TLS_END_S: Final = 30.0
"""How long TLS may take to end a connection; asyncio's own. It begins when the answer of a client that wants no other
one is handed over, so most of that may be sent within it. Who takes nothing is ended after `IDLE_S`."""

_log = logging.getLogger("meshcache.admin")


def _is_ours(record: logging.LogRecord) -> bool:
    """Return whether something of ours failed: what is no HTTP, and who leaves, is no line of the log, which any
    stranger could fill.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, ConnectionError))


_requests_log = logging.getLogger("meshcache.admin.requests")
_requests_log.addFilter(_is_ours)


class AdminServer:
    """The Unix socket and the HTTP port of one node. `start` once, then `close`; also a context manager."""

    def __init__(self, node: AdminNode, settings: AdminSettings, *, http_needed: bool = True) -> None:
        """Without `http_needed`, a port that another worker of the host has is left to that one."""
        self._http_needed = http_needed
        self._node = node
        self._settings = settings
        self._token: str | None = None
        self._certificate: AdminCertificate | None = None
        self._tls: ssl.SSLContext | None = None
        self._unix: socket.socket | None = None
        self._http: socket.socket | None = None
        self._accepting: list[socket.socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: native.ThreadLike | None = None
        self._stopping: asyncio.Event | None = None
        self._accepting_tls: asyncio.Server | None = None
        self._serving = native.Event()
        self._failure: BaseException | None = None

    def start(self) -> Self:
        """Open the sockets and answer from now on.

        Raises ConfigError when one of them can't be had; none is open then.
        """
        try:
            self._token = load_token(self._settings.token_file) if self._settings.token_file else None
            self._certificate = AdminCertificate.of(self._settings)
            self._tls = self._certificate.context() if self._certificate else None
            self._unix = open_unix(self._settings.socket) if self._settings.socket else None
            self._http = self._open_http(self._settings.http) if self._settings.http else None
        except BaseException:
            self._close_sockets()
            raise
        if self._unix or self._http:
            self._thread = native.thread(self._run, "meshcache-admin")
            self._thread.start()
            self._serving.wait()
            if self._failure is not None:
                self.close()
                raise self._failure
        if self._http:
            scheme = "http" if self._tls is None else "https"
            _log.info("dashboard: %s://%s/, and /metrics for Prometheus", scheme, self.http_address)
        return self

    @property
    def http_address(self) -> str | None:
        """Where the HTTP port really is, ``host:port``; None without one."""
        return join_address(*self._http.getsockname()[:2]) if self._http else None

    def close(self) -> None:
        """Stop answering and remove the socket file; may be called again."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._stopping is not None:
            if thread.is_alive():
                self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join(2 * STOP_S)
        self._close_sockets()

    def forked(self) -> None:
        """Let go of the sockets in a forked child, whose parent goes on answering: else they would look alive after it.

        Locks nothing, since any lock may have been held at the fork.
        """
        self._thread = None
        for listener in (self._unix, self._http, *self._accepting):
            if listener is not None:
                os.close(listener.detach())
        self._unix = self._http = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _open_http(self, address: str) -> socket.socket | None:
        try:
            return open_http(address)
        except ConfigError as error:
            if self._http_needed:
                raise
            _log.info("no HTTP from this worker: %s", error)
            return None

    def _close_sockets(self) -> None:
        if self._unix is not None:
            remove_unix(cast(Path, self._settings.socket), self._unix)
        if self._http is not None:
            self._http.close()
        self._unix = self._http = None

    def _run(self) -> None:
        try:
            # Of asyncio's own: uvloop, where it is the program's policy, doesn't accept with our socket's `accept`.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                self._loop = runner.get_loop()
                runner.run(self._serve())
        except Exception as error:  # noqa: BLE001 - `start` raises it, on the thread that can do something about it
            _log.exception("the admin interface stopped")
            self._failure = error
        finally:
            self._serving.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(DescriptorShortage())
        # A thread for each connection that there may be: a change that takes a minute keeps nobody's question waiting.
        loop.set_default_executor(ThreadPoolExecutor(2 * CONNECTIONS_MAX, "meshcache-admin-work"))
        self._stopping = asyncio.Event()
        async with contextlib.AsyncExitStack() as open_listeners:
            if self._unix is not None:
                await open_listeners.enter_async_context(self._answering(self._unix, unix_app(self._node), None))
            if self._http is not None:
                read_only = http_app(self._node, self._settings.hosts, self._token)
                await open_listeners.enter_async_context(self._answering(self._http, read_only, self._tls))
            self._serving.set()
            await self._stopping.wait()

    @contextlib.asynccontextmanager
    async def _answering(
        self, listener: socket.socket, app: web.Application, tls: ssl.SSLContext | None
    ) -> AsyncIterator[None]:
        runner = web.AppRunner(
            app, access_log=None, logger=_requests_log, keepalive_timeout=IDLE_S, shutdown_timeout=STOP_S
        )
        await runner.setup()
        assert runner.server is not None
        accept = functools.partial(self._accept, listener, AcceptedConnections(CONNECTIONS_MAX, IDLE_S), runner.server)
        server = await accept(tls)
        renewing = None if tls is None else asyncio.create_task(self._renew(accept, server))
        try:
            yield
        finally:
            if renewing is not None:
                renewing.cancel()
                server = self._accepting_tls or server
            server.close()
            await runner.cleanup()

    async def _accept(
        self,
        listener: socket.socket,
        connections: AcceptedConnections,
        factory: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
    ) -> asyncio.Server:
        # A copy: asyncio closes its own at the end, and `close` still has to look at ours.
        copy = BoundedListener(listener, connections)
        self._accepting.append(copy)
        loop = asyncio.get_running_loop()
        start = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
        try:
            if tls is None:
                return await start(factory, sock=copy)
            return await start(
                factory, sock=copy, ssl=tls, ssl_handshake_timeout=IDLE_S, ssl_shutdown_timeout=TLS_END_S
            )
        except OSError:
            self._accepting.remove(copy)
            copy.close()
            raise

    async def _renew(
        self, accept: Callable[[ssl.SSLContext], Awaitable[asyncio.Server]], server: asyncio.Server
    ) -> None:
        """Accept with the new certificate once there is one, and with the one before until that can be. Who comes
        meanwhile waits in the kernel, and connections that are open go on.
        """
        assert self._certificate is not None
        waiting: ssl.SSLContext | None = None
        told = False
        while True:
            await asyncio.sleep(LOOK_S)
            waiting = self._certificate.renewed() or waiting
            if waiting is None:
                continue
            try:
                former, server = server, await accept(waiting)
            except OSError as error:  # no descriptor is left
                if not told:
                    _log.warning("the new certificate of admin.http waits, and is tried again: %s", error)
                told = True
                continue
            self._accepting_tls, waiting, told = server, None, False
            former.close()
            self._accepting = [each for each in self._accepting if each.fileno() >= 0]
            _log.info("the certificate of admin.http is renewed")
