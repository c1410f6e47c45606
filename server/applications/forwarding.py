"""Forwards one client's plain bytes to a TCP backend and back; looks into none of them.

Either side that falls behind pauses the other, so that memory stays bounded; either side may end its half first. What
was cut short on one side is cut short on the other, never passed on as a proper end (truncation, RFC 8446 section 6.1),
and only after every byte that came whole was passed on (`leaving`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from cryptography.x509 import InvalidVersion
from cryptography.x509.oid import NameOID
from OpenSSL import crypto

from ..proxy_protocol import TlsFacts, header
from ..resets import end_writing, reset
from .application import Client
from .backends import Backend, Pool

WAITING_BYTES_MAX = 64 * 1024
"""Taken from a client before there is a backend to give it to, and one read more. What stays in the client's own kernel
is lost when it hangs up with something unread, as its session ticket (RFC 9112 section 9.6), so to take it early is to
save it."""


class Forwarding(asyncio.Protocol):
    """The application of one client, and at the same time the protocol of its connection to the backend."""

    __slots__ = (
        "_backend",
        "_client",
        "_client_ended",
        "_client_lost",
        "_connecting",
        "_ended",
        "_header",
        "_is_full",
        "_pool",
        "_transport",
        "_waiting",
    )

    def __init__(self, client: Client, pool: Pool, is_full: Callable[[], bool]) -> None:
        """`is_full` says whether the handshake was a full one, which the PROXY header tells of client certificates."""
        self._client = client
        self._pool = pool
        self._backend: Backend | None = None
        self._is_full = is_full
        self._header = b""
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._waiting = bytearray()
        self._ended = False
        self._client_ended = False
        self._client_lost = False

    @property
    def pool(self) -> Pool:
        """The backends that it takes one of."""
        return self._pool

    @property
    def unsent_bytes(self) -> int:
        """How much waits for a backend that doesn't read."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    # The client's side (see `application.Application`).

    def start(self) -> None:
        """Connect to the backend, and meanwhile take from the client what it may not live to repeat.

        The header is made before there is a backend: if that fails, nobody takes the client's own bytes for it.
        """
        self._client.acknowledge_early()
        if self._pool.proxy_protocol:
            client, server = self._client.endpoint("peername"), self._client.endpoint("sockname")
            if client is None or server is None:
                self._client.abort("connection reset")
                return
            self._header = header(client, server, self._tls_facts())
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def receive(self, plain: bytes) -> None:
        """Bytes from the client."""
        self._client.touch()
        self._pool.count.received += len(plain)
        if self._transport is None:
            self._waiting += plain
            if len(self._waiting) >= WAITING_BYTES_MAX:
                self._client.pause()
        else:
            self._transport.write(plain)

    def end(self) -> None:
        """The client sends nothing more."""
        self._client_ended = True
        if self._transport is not None:
            self._end_backend()

    def lost(self) -> None:
        """The client is gone: the backend gets what it has sent, and then the end or the reset that the client came to.

        While we connect, that is worth waiting for only if there is something to pass on.
        """
        if self._client_lost:
            return
        self._client_lost = True
        if self._transport is not None:
            self._leave(self._transport)
        elif self._connecting is not None and not self._waiting:
            self._connecting.cancel()

    def stalled(self) -> None:
        """The client isn't reading."""
        if self._transport is not None:
            self._transport.pause_reading()

    def flowing(self) -> None:
        """The client reads again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def drain(self) -> None:
        """What is in flight only the two ends know; the connection has until ``drain_s``."""

    # The backend's side.

    async def _connect(self) -> None:
        """Connect to a backend, and to another where that fails: the client's bytes are all here still."""
        clock, tried = asyncio.get_running_loop().time, list[Backend]()
        while (backend := self._pool.choose(tried, clock())) is not None:
            tried.append(backend)
            if await self._connect_to(backend):
                break
        else:
            self._client.close()
        self._connecting = None

    async def _connect_to(self, backend: Backend) -> bool:
        """Connect to this backend; false where another one may be tried."""
        clock = asyncio.get_running_loop().time
        self._backend, started = backend, clock()
        backend.open += 1
        try:
            async with asyncio.timeout(self._pool.connect_timeout_s):
                await backend.connect(lambda: self)
        except (TimeoutError, OSError) as error:
            kind = "backend connect timeout" if isinstance(error, TimeoutError) else "backend unreachable"
            self._count_off()
            backend.failures += 1
            backend.failed(kind, clock())
            return self._failed(kind, backend.target)
        except asyncio.CancelledError:
            self._count_off()
            raise
        backend.connects += 1
        backend.connect_s += clock() - started
        backend.worked()
        return True

    def _failed(self, kind: str, target: str) -> bool:
        """Count a connect that failed; whether that is the end, since the connection came when its time was over and
        took what the client had sent. It is closed already: asyncio says so later, uvloop never.
        """
        transport, self._transport = self._transport, None
        if transport is None:
            self._client.fault(kind, target)
            return False
        self._pool.leaving.gone(transport)
        reset(transport)
        self._client.abort(kind, target)
        return True

    def _count_off(self) -> str:
        """Count the backend's connection off, whoever is the first to say that it is over; return the target."""
        backend, self._backend = self._backend, None
        if backend is None:
            return ""
        backend.open -= 1
        return backend.target

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the header and what the client has sent meanwhile, and let it go on."""
        backend = self._transport = cast(asyncio.Transport, transport)
        self._client.resume()  # first: writing may pause it again
        if first := self._header + self._waiting:
            backend.write(first)
        self._header, self._waiting = b"", bytearray()
        if self._client_lost:
            self._leave(backend)
        elif self._client_ended:
            self._end_backend()

    def data_received(self, data: bytes) -> None:
        """Bytes from the backend."""
        self._pool.count.sent += len(data)
        self._client.touch()
        self._client.send(data)

    def eof_received(self) -> bool:
        """Return the backend sends nothing more; it may still read what the client sends."""
        self._ended = True
        if self._client_lost:
            return True  # `leaving` ends it as the client did
        if self._client_ended:
            self._client.close()
            return False
        self._client.send_end()
        return True

    def pause_writing(self) -> None:
        """The backend isn't reading."""
        self._client.pause()

    def resume_writing(self) -> None:
        """The backend reads again."""
        self._client.touch()
        self._client.resume()

    def connection_lost(self, error: Exception | None) -> None:
        """The backend is gone. Without its FIN before, the client mustn't take what it has for everything."""
        transport, self._transport = self._transport, None
        target = self._count_off()
        if transport is None:
            return  # it was given up, and the client with it
        if self._client_lost:
            self._pool.leaving.gone(transport)
        elif self._ended or error is None:
            self._client.close()
        else:
            self._client.abort("backend reset", target)

    def _leave(self, transport: asyncio.Transport) -> None:
        if self._client_ended:
            self._pool.leaving.in_order(transport)
        else:
            self._pool.leaving.cut_short(transport)

    def _end_backend(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._ended:
            transport.close()
            self._client.close()
        else:
            end_writing(transport)

    def _tls_facts(self) -> TlsFacts:
        tls = self._client.tls
        certificate = tls.get_peer_certificate()
        return TlsFacts(
            version=tls.get_protocol_version_name(),
            cipher=tls.get_cipher_name() or "",
            alpn=tls.get_alpn_proto_negotiated(),
            server_name=tls.get_servername() or b"",
            common_name=None if certificate is None else _common_name(certificate),
            certificate_shown=certificate is not None and self._is_full(),
        )


def _common_name(certificate: crypto.X509) -> str:
    """Return the subject's first common name, or nothing; any text that a trusted authority signed.

    Nothing also where cryptography can't read it: OpenSSL, which has verified the certificate, takes other encodings.
    """
    try:
        names = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, InvalidVersion):
        return ""
    return str(names[0].value) if names else ""
