"""A listener in the test's own loop with a service of the test's choice, and clients that do what real ones do."""

from __future__ import annotations

import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from meshcache_server.applications.application import Application, Client
from meshcache_server.applications.responder import About, Responder
from meshcache_server.connections.listener import Listener
from meshcache_server.connections.routes import Routes, make_routes
from meshcache_server.connections.service import ConnectionNode, Service
from meshcache_server.connections.table import ConnectionTable
from meshcache_server.faults import Faults
from meshcache_server.names import CertificateNames
from OpenSSL import SSL

from tests.support import sockets

NAME = "shop.example"

Credentials = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass
class Certificates:
    """A test authority, a server certificate by it, and where both are on disk."""

    authority: trustme.CA
    chain: Path
    key: Path
    authority_file: Path

    def client(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A client's context that trusts this authority alone."""
        context = ssl.create_default_context(cafile=str(self.authority_file))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context


def make_certificates(folder: Path, *names: str) -> Certificates:
    authority = trustme.CA()
    leaf = authority.issue_cert(*(names or (NAME, "*.shop.example")))
    place = Certificates(authority, folder / "chain.pem", folder / "key.pem", folder / "authority.pem")
    place.chain.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
    place.key.touch(0o600)
    place.key.write_bytes(leaf.private_key_pem.bytes())
    authority.cert_pem.write_to_path(place.authority_file)
    return place


def server_context(certificates: Certificates) -> SSL.Context:
    """A context as OpenSSL's own cache would have it; the mesh's hooks are tests' of `app`."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(str(certificates.chain))
    context.use_privatekey_file(str(certificates.key))
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    context.set_session_id(b"tests")
    return context


def ask_for_certificates(context: SSL.Context, certificates: Certificates) -> None:
    """Take no client without a certificate by the test authority."""
    context.load_verify_locations(str(certificates.authority_file))
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)


def make_credentials(authority: trustme.CA, common_name: str) -> Credentials:
    """A client's certificate as authorities of former times made them: the name is Latin-1 in a TeletexString, which
    OpenSSL takes and cryptography can't read. Signed anew by hand, since cryptography writes no such thing either.
    """
    signer = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key, now, other_name = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC), "x" * len(common_name)
    other = (
        x509.CertificateBuilder()
        .issuer_name(x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, other_name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(signer, hashes.SHA256())
    )
    utf_8, teletex, size = b"\x0c", b"\x14", bytes((len(common_name),))
    body = other.tbs_certificate_bytes.replace(
        utf_8 + size + other_name.encode(), teletex + size + common_name.encode("latin-1")
    )
    signature = signer.sign(body, ec.ECDSA(hashes.SHA256()))
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    whole = body + ecdsa_with_sha256 + bytes((0x03, len(signature) + 1, 0)) + signature
    return x509.load_der_x509_certificate(b"\x30\x82" + len(whole).to_bytes(2, "big") + whole), key


class Withheld:
    """What the node would hold back."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @contextmanager
    def hold(self, vip: str) -> Iterator[None]:
        self.told.append("hold")
        yield

    def keep(self, vip: str, connection: SSL.Connection) -> None:
        self.told.append("keep")

    def forget(self, vip: str, connection: SSL.Connection) -> None:
        self.told.append("forget")


@dataclass
class Tally:
    """What the node would count."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    withheld: Withheld = field(default_factory=Withheld)

    def paused(self, connection: object) -> None:
        """No handshake is paused: contexts of tests join no node."""

    def handshake_counter(self, vip: str) -> Callable[[object], object]:
        return partial(self.handshake_done, vip)

    def handshake_done(self, vip: str, connection: Any) -> None:
        established: SSL.Connection = getattr(connection, "connection", connection)
        assert established.get_cipher_name() is not None
        self.done.append(vip)

    def handshake_failed(self, vip: str) -> None:
        self.failed.append(vip)


@dataclass
class Running:
    host: str
    port: int
    table: ConnectionTable
    faults: Faults
    tally: Tally
    listener: Listener
    service: Service


ABOUT = About("edge-1", "ams1", "shop", CertificateNames([NAME, "*.shop.example"]))


def respond(client: Client) -> Application:
    return Responder(client, ABOUT, lambda: ("full", None))


@asynccontextmanager
async def serving(
    context: SSL.Context,
    make_application: Callable[[Client], Application] = respond,
    *,
    handshake_timeout_s: float = 10.0,
    idle_timeout_s: float = 60.0,
    connections_max: int = 1000,
    routes: Routes | None = None,
    mesh: ConnectionNode | None = None,
    starts_at_once: bool = True,
) -> AsyncIterator[Running]:
    """A VIP named shop on a free port of 127.0.0.1; `mesh` is told of its connections, or else a tally."""
    faults, tally = Faults(), Tally()
    table = ConnectionTable(connections_max, min(handshake_timeout_s, idle_timeout_s), faults)
    table.start()
    service = Service(
        *("shop", context, mesh or tally, make_application, handshake_timeout_s, idle_timeout_s),
        starts_at_once=starts_at_once,
    )
    listener = Listener("127.0.0.1:0", table)
    listener.bind()
    await listener.serve(routes or make_routes([(service, [])], service))
    port = int(listener.bound_address.rpartition(":")[2])
    try:
        yield Running("127.0.0.1", port, table, faults, tally, listener, service)
    finally:
        listener.close()
        table.abort()
        table.stop()


def connect(port: int, timeout_s: float = 30.0) -> socket.socket:
    return sockets.connect(("127.0.0.1", port), timeout_s)


def reset(raw: socket.socket) -> None:
    """Close with RST: no linger, whatever is unsent."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()


class Dialogue:
    """A pyOpenSSL client over a blocking socket, which can do what ssl.SSLSocket can't: end only its own half."""

    def __init__(
        self,
        port: int,
        certificates: Certificates,
        server_name: bytes | None = NAME.encode(),
        alpn: Sequence[bytes] = (),
        shown: Credentials | None = None,
    ) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(certificates.authority_file))
        context.set_verify(SSL.VERIFY_PEER)
        if alpn:
            context.set_alpn_protos(list(alpn))
        if shown is not None:
            context.use_certificate(shown[0])
            context.use_privatekey(shown[1])
        self.raw = connect(port)
        self.raw.settimeout(None)
        # Blocking in the kernel, with a limit that OpenSSL sees as an error rather than as "try again".
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 30, 0))
        self.tls = SSL.Connection(context, self.raw)
        if server_name is not None:
            self.tls.set_tlsext_host_name(server_name)
        self.tls.set_connect_state()
        self.tls.do_handshake()

    def ask(self, request: bytes) -> bytes:
        """Send a request that asks for the connection to be closed, and read to the server's close_notify."""
        self.tls.sendall(request)
        return self.read_to_end()

    def read_to_end(self) -> bytes:
        """Everything until close_notify; a connection that merely breaks off is an error."""
        parts = []
        while True:
            try:
                parts.append(self.tls.recv(65536))
            except SSL.ZeroReturnError:
                return b"".join(parts)

    def read(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            got += self.tls.recv(size - len(got))
        return got

    def begin(self, data: bytes) -> None:
        """Don't block any more: `push` sends what the socket takes of `data`, and `finish` the rest."""
        self.unsent = memoryview(data)  # cutting off what was sent copies nothing
        self.raw.setblocking(False)

    def push(self) -> None:
        """Send, without reading, for as long as the socket takes anything."""
        with suppress(SSL.WantWriteError, SSL.WantReadError):
            while self.unsent:
                self.unsent = self.unsent[self.tls.send(self.unsent[:16_384].tobytes()) :]

    def finish(self) -> bytes:
        """Send what is left while reading everything, to the server's close_notify."""
        got = []
        while True:
            self.push()
            try:
                while True:
                    got.append(self.tls.recv(65536))
            except SSL.WantReadError:
                select.select([self.raw], [self.raw] if self.unsent else [], [], 30)
            except SSL.ZeroReturnError:
                return b"".join(got)

    def end(self) -> None:
        """Send close_notify and go on reading."""
        self.tls.shutdown()

    def close(self) -> None:
        self.tls.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
        self.raw.close()
