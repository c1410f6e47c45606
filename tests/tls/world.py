"""Real TLS in memory: certificates, servers of both kinds, clients, and a port over dicts."""

from __future__ import annotations

import mmap
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import OpenSSL
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL, crypto

from meshcache.core.policy.gates import Verdict
from meshcache.core.policy.scope import Names, Security, group_digest
from meshcache.tls import elf, libssl
from meshcache.tls.contexts import Attachment, attach_context
from meshcache.tls.facts import ContextFacts, read_facts
from meshcache.tls.functions import ffi
from meshcache.tls.libssl import Library, find_connection
from meshcache.tls.scopes import scopes_for
from meshcache.tls.ticket_keys import EdgeKeys

KINDS = ("pyopenssl", "stdlib")
VERSIONS = ("1.2", "1.3")

_STDLIB = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_PYOPENSSL = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

LOCAL, REMOTE = 1, 2
"""Outcomes in the tokens of `DictPort`."""


@dataclass
class DictPort:
    """A `SessionPort` over a dict that several servers may share, as if the mesh were perfect."""

    store: dict[bytes, bytes] = field(default_factory=dict)
    name: str = "shop"
    allows_client_certificates: bool = False
    single_use: bool = False
    door: Any = None
    asking: Any = None
    ids: Any = None
    own: set[bytes] = field(default_factory=set)
    log: list[tuple[Any, ...]] = field(default_factory=list)
    made: list[tuple[bytes, int, bool, int]] = field(default_factory=list)
    node: str = "edge-1"
    clock: float = 1000.0
    ticket_keys: EdgeKeys | None = None
    lets_resume: bool = True
    births: dict[int, float] = field(default_factory=dict)

    def made_here(self, token: int, /) -> bool:
        return token & 3 == LOCAL

    def created(self, session_id: bytes, der: bytes, token: int, client_certificate: bool, tls_version: int, /) -> None:
        self.store[session_id] = der
        self.own.add(session_id)
        self.made.append((session_id, token, client_certificate, tls_version))
        self.log.append(("created",))

    def hit(self, token: int, /) -> None:
        self.log.append(("resumed", token & 3))

    def missed(self, foreign: bool = False, /) -> None:
        self.log.append(("foreign" if foreign else "missed",))

    def find(self, session_id: bytes, /) -> tuple[bytes, int] | Verdict | None:
        der = self.store.get(session_id)
        self.log.append(("miss" if der is None else "hit",))
        return None if der is None else (der, 0xC0FFEE0000000000 | (LOCAL if session_id in self.own else REMOTE))

    def unusable(self, session_id: bytes, reason: Verdict, /) -> None:
        self.store.pop(session_id, None)
        self.log.append(("unusable", reason))

    def lookup_refused(self, reason: Verdict, /) -> None:
        self.log.append(("lookup_refused", reason))

    def session_refused(self, reason: Verdict, /) -> None:
        self.log.append(("session_refused", reason))

    def removed(self, session_id: bytes, /) -> None:
        self.store.pop(session_id, None)
        self.log.append(("removed",))

    def publish(self) -> None:
        self.log.append(("publish",))

    def full(self) -> None:
        self.log.append(("full",))

    def consumed(self, session_id: bytes, /) -> None:
        self.store.pop(session_id, None)
        self.log.append(("consumed",))

    def hit_not_resumed(self) -> None:
        self.log.append(("hit_not_resumed",))

    def now(self) -> float:
        return self.clock

    def born_at(self, token: int, /) -> float | None:
        return self.births.get(token)

    def ticket_token(self, node: str, born_at: float, /) -> int:
        token = 0xC0FFEE0000000000 | len(self.births) << 8 | (LOCAL if node == self.node else REMOTE)
        self.births[token] = born_at
        return token

    def ticket_may_resume(self, node: str, born_at: float, ends_at: float, client_certificate: bool, /) -> bool:
        self.log.append(("may_resume", node, client_certificate))
        return self.lets_resume

    def ticket_issued(self) -> None:
        self.log.append(("issued",))

    def ticket_opened(self, key_age_s: float, /) -> None:
        self.log.append(("opened", round(key_age_s)))

    def ticket_refused(self, reason: Verdict, /) -> None:
        self.log.append(("ticket_refused", reason))

    def ticket_unknown(self) -> None:
        self.log.append(("unknown",))

    def fault(self, where: str, /) -> None:
        self.log.append(("fault", where))

    def count(self, *event: Any) -> int:
        return self.log.count(event)

    def unusable_reasons(self) -> list[Verdict]:
        return [event[1] for event in self.log if event[0] == "unusable"]

    def refusals(self) -> list[Verdict]:
        return [event[1] for event in self.log if event[0] == "lookup_refused"]


# Certificates


def authority(name: str = "main") -> trustme.CA:
    return _authority(name)


@cache
def _authority(name: str) -> trustme.CA:
    return trustme.CA(organization_name=name)


@cache
def server_certificate(*names: str) -> trustme.LeafCert:
    return authority().issue_cert(*names)


@cache
def client_certificate(name: str = "client") -> trustme.LeafCert:
    return authority().issue_cert(f"{name}@example.test")


# Contexts


def server_context(kind: str, version: str | None = None, names: tuple[str, ...] = ("a.test", "b.test")) -> Any:
    """A server's context of either kind that speaks one version, or both, with a certificate for `names`."""
    context = bare_context(kind, version)
    give_certificate(context, server_certificate(*names))
    return context


def give_certificate(context: Any, leaf: trustme.LeafCert) -> None:
    """Load a certificate, its chain and its key; in words that pyOpenSSL 23 knows too, where it is that."""
    if isinstance(context, ssl.SSLContext) or int(OpenSSL.__version__.split(".")[0]) >= 25:
        leaf.configure_cert(context)
        return
    own, *chain = (crypto.load_certificate(crypto.FILETYPE_PEM, blob.bytes()) for blob in leaf.cert_chain_pems)
    context.use_certificate(own)
    for certificate in chain:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, leaf.private_key_pem.bytes()))


def bare_context(kind: str, version: str | None = None) -> Any:
    low, high = version or "1.2", version or "1.3"
    if kind == "stdlib":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = _STDLIB[low], _STDLIB[high]
        return context
    other = SSL.Context(SSL.TLS_SERVER_METHOD)
    other.set_min_proto_version(_PYOPENSSL[low])
    other.set_max_proto_version(_PYOPENSSL[high])
    return other


def ask_clients(context: Any, *, required: bool = True, ca: str = "main") -> None:
    """Make a server's context ask for client certificates of one authority."""
    authority(ca).configure_trust(context)
    if isinstance(context, ssl.SSLContext):
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    else:
        context.set_verify(SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if required else 0))


def client_context(version: str | None = None, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """A client that trusts the main authority; its sessions are good for itself only, as Python demands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version, context.maximum_version = _STDLIB[version or "1.2"], _STDLIB[version or "1.3"]
    authority().configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    return context


def attach(
    context: Any,
    port: DictPort,
    *,
    group: str = "shop",
    listed: tuple[str, ...] = (),
    facts: ContextFacts | None = None,
    **more: Any,
) -> Attachment:
    """Attach as a node does: facts of the context (or those given), digest of what must agree, scopes of its names."""
    facts = facts or read_facts(context)
    digest = group_digest(
        Security(group, facts.client_auth, facts.tls_floor, extended_master_secret=facts.extended_master_secret)
    )
    names = Names(facts.names, listed, facts.addresses, facts.identities)
    return attach_context(context, port, scopes_for(names, digest), **more)


# Connections


class StdlibEnd:
    """One end of a connection over memory, by the standard library."""

    def __init__(self, context: ssl.SSLContext, *, server: bool, name: str | None = None, session: Any = None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=server, server_hostname=name, session=session)

    def shake(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def take(self) -> bytes:
        return self._out.read()

    def feed(self, data: bytes) -> None:
        self._in.write(data)

    def write(self, data: bytes) -> None:
        self.tls.write(data)

    def read(self) -> bytes:
        try:
            return self.tls.read(4096)
        except ssl.SSLWantReadError:
            return b""

    def close(self) -> None:
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            return

    @property
    def resumed(self) -> bool:
        return bool(self.tls.session_reused)

    @property
    def peer(self) -> bytes | None:
        return self.tls.getpeercert(binary_form=True) or None


class PyOpenSSLEnd:
    """One end of a connection over memory, by pyOpenSSL."""

    def __init__(self, context: SSL.Context, *, server: bool) -> None:
        self.tls = SSL.Connection(context, None)
        self.tls.set_accept_state() if server else self.tls.set_connect_state()

    def shake(self) -> bool:
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def take(self) -> bytes:
        data = b""
        while True:
            try:
                data += self.tls.bio_read(65536)
            except SSL.WantReadError:
                return data

    def feed(self, data: bytes) -> None:
        if data:
            self.tls.bio_write(data)

    def write(self, data: bytes) -> None:
        self.tls.send(data)

    def read(self) -> bytes:
        try:
            return self.tls.recv(4096)
        except SSL.WantReadError:
            return b""

    def close(self) -> None:
        self.tls.shutdown()

    @property
    def resumed(self) -> bool:
        found = find_connection(self.tls)
        assert found is not None
        return bool(found.library.functions.SSL_session_reused(found.pointer))

    @property
    def peer(self) -> bytes | None:
        certificate = self.tls.get_peer_certificate()
        return None if certificate is None else certificate.to_cryptography().public_bytes(Encoding.DER)


End = StdlibEnd | PyOpenSSLEnd
TLS_ERRORS = (ssl.SSLError, SSL.Error)


def server_end(context: Any) -> End:
    return (
        StdlibEnd(context, server=True) if isinstance(context, ssl.SSLContext) else PyOpenSSLEnd(context, server=True)
    )


def shake_hands(client: End, server: End) -> None:
    """Both ends to the end of the handshake, the client up to having its tickets. Raises what either end raises."""
    done = [False, False]
    for _ in range(10):
        done[0] = client.shake()
        server.feed(client.take())
        done[1] = server.shake()
        client.feed(server.take())
        if all(done):
            break
    assert all(done), "a handshake takes fewer flights"
    server.write(b"hello")
    client.feed(server.take())
    assert client.read() == b"hello"
    client.write(b"there")
    server.feed(client.take())
    assert server.read() == b"there"


@dataclass
class Visit:
    """A client's connection to a server, after it has ended well."""

    resumed: bool
    client: StdlibEnd
    server: End

    @property
    def session(self) -> Any:
        """What the client will offer next time. (Each reading loses 6 KB for good in Python 3.11.)"""
        return self.client.tls.session


def visit(
    context: Any, client: ssl.SSLContext, *, name: str | None = "a.test", session: Any = None, close: bool = True
) -> Visit:
    """Connect to the server with this context, offering `session`, say hello, and part with close_notify."""
    server = server_end(context)
    end = StdlibEnd(client, server=False, name=name, session=session)
    shake_hands(end, server)
    assert end.resumed == server.resumed
    if close:
        server.close()
    return Visit(server.resumed, end, server)


def write_pem(folder: Path, name: str, pem: bytes) -> Path:
    path = folder / name
    path.write_bytes(pem)
    return path


# Revocation


def empty_list(ca: str = "main") -> x509.CertificateRevocationList:
    return revoking(ca=ca)


def revoking(*leaves: trustme.LeafCert, ca: str = "main") -> x509.CertificateRevocationList:
    """A revocation list of one of the authorities, good for a day."""
    issuer = authority(ca)
    key = load_pem_private_key(issuer.private_key_pem.bytes(), None)
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder(
        x509.load_pem_x509_certificate(issuer.cert_pem.bytes()).subject,
        now - timedelta(hours=1),
        now + timedelta(days=1),
    )
    for leaf in leaves:
        serial = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number
        entry = x509.RevokedCertificateBuilder(serial, now - timedelta(hours=1)).build()
        builder = builder.add_revoked_certificate(entry)
    assert isinstance(key, EllipticCurvePrivateKey)
    return builder.sign(key, SHA256())


def load_list(context: Any, revoked: x509.CertificateRevocationList, folder: Path) -> None:
    """Make a server's context check client certificates against a revocation list."""
    pem = write_pem(folder, "revoked.pem", revoked.public_bytes(Encoding.PEM))
    if isinstance(context, ssl.SSLContext):
        context.load_verify_locations(pem)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    else:
        context.load_verify_locations(str(pem))
        store = context.get_cert_store()
        assert store is not None
        store.set_flags(crypto.X509StoreFlags.CRL_CHECK)


# OpenSSL


def address_in(library: Library, name: str) -> int:
    """Where a function is that the package itself doesn't use."""
    image = elf.image_of(library.path)
    assert image is not None
    address = elf.hidden(image, [name]).get(name) or elf.exported(library.path)(name)
    assert address
    return address


def set_ciphers(context: Any, version: str, ciphers: str) -> None:
    """By OpenSSL's own functions: Python 3.11 has none for the suites of TLS 1.3."""
    found = libssl.find(context)
    name = "SSL_CTX_set_ciphersuites" if version == "1.3" else "SSL_CTX_set_cipher_list"
    listed = f"{ciphers}:@SECLEVEL=0" if version == "1.2" else ciphers
    call = ffi.cast("int(*)(uintptr_t, char *)", address_in(found.library, name))
    assert call(found.pointer, listed.encode()) == 1


# Memory


def resident_bytes() -> int:
    """The second field of /proc/self/statm (proc(5)), in pages."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
