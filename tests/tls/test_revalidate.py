from __future__ import annotations

import ctypes
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL

from meshcache.core.policy.gates import Verdict
from meshcache.tls import libssl
from meshcache.tls.contexts import resumption
from meshcache.tls.facts import read_facts
from meshcache.tls.functions import ffi
from meshcache.tls.state import Mode
from meshcache.tls.ticket_keys import EdgeKey, EdgeKeys
from tests.tls.world import (
    KINDS,
    LOCAL,
    TLS_ERRORS,
    VERSIONS,
    DictPort,
    StdlibEnd,
    address_in,
    ask_clients,
    attach,
    authority,
    client_certificate,
    client_context,
    load_list,
    revoking,
    server_context,
    server_end,
    shake_hands,
    visit,
)

pytestmark = [
    pytest.mark.usefixtures("hot_path"),
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.parametrize("version", VERSIONS),
]


def serve(kind: str, version: str, port: DictPort, *prepare: Any) -> Any:
    """A server that requires client certificates. All of them share one scope here, whatever `prepare` does to it."""
    context = server_context(kind, version)
    ask_clients(context)
    plain = read_facts(context)
    for step in prepare:
        step(context)
    attach(context, port, facts=plain)
    return context


def test_a_session_with_a_client_certificate_resumes_where_it_was_made(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version, client_certificate())
    context = serve(kind, version, port)
    first = visit(context, client)
    again = visit(context, client, session=first.session)
    assert again.resumed
    assert resumption(again.server.tls) & 3 == LOCAL
    assert again.server.peer == first.server.peer is not None
    assert [made[2] for made in port.made] == [True] * len(port.made)


@pytest.mark.parametrize("allowed", [False, True])
def test_elsewhere_it_resumes_only_where_the_vip_says_revalidate(kind: str, version: str, allowed: bool) -> None:
    here, client = DictPort(), client_context(version, client_certificate())
    there = DictPort(store=here.store, allows_client_certificates=allowed)
    first = visit(serve(kind, version, here), client)
    second = visit(serve(kind, version, there), client, session=first.session)
    assert second.resumed == allowed
    assert there.refusals() == ([] if allowed else [Verdict.CLIENT_CERTIFICATE])
    assert second.server.peer == first.server.peer


@pytest.mark.parametrize("home", [True, False])
def test_a_certificate_that_was_revoked_since_does_not_resume(
    kind: str, version: str, home: bool, tmp_path: Path
) -> None:
    leaf = client_certificate("revoked")
    here, client = DictPort(), client_context(version, leaf)
    there = here if home else DictPort(store=here.store, allows_client_certificates=True)
    first = visit(serve(kind, version, here), client)
    strict = serve(kind, version, there, lambda c: load_list(c, revoking(leaf), tmp_path))
    with pytest.raises(TLS_ERRORS):
        visit(strict, client, session=first.session)
    assert there.refusals() == [Verdict.CLIENT_CERTIFICATE]
    assert there.unusable_reasons() == [], "another context of the VIP may have no such list"


def test_a_list_that_revokes_others_does_not_stop_it(kind: str, version: str, tmp_path: Path) -> None:
    here, client = DictPort(), client_context(version, client_certificate())
    first = visit(serve(kind, version, here), client)
    revoked = revoking(client_certificate("somebody else"))
    strict = serve(kind, version, here, lambda c: load_list(c, revoked, tmp_path))
    assert visit(strict, client, session=first.session).resumed


def test_a_certificate_that_expired_since_does_not_resume(kind: str, version: str) -> None:
    leaf = authority().issue_cert("brief@example.test", not_after=datetime.now(UTC) + timedelta(hours=1))
    here, client = DictPort(), client_context(version, leaf)
    first = visit(serve(kind, version, here), client)
    assert first.server.peer is not None
    assert visit(serve(kind, version, here, set_clock), client, session=first.session).resumed
    later = serve(kind, version, here, lambda context: set_clock(context, hours=2))
    with pytest.raises(TLS_ERRORS):
        visit(later, client, session=first.session)
    assert here.refusals() == [Verdict.CLIENT_CERTIFICATE]


def set_clock(context: Any, hours: int = 0) -> None:
    """Let a context verify certificates as if it were so many hours later (X509_VERIFY_PARAM_set_time(3))."""
    found = libssl.find(context)
    set_time = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_long)
    parameters = found.library.functions.SSL_CTX_get0_param(found.pointer)
    later = datetime.now(UTC) + timedelta(hours=hours)
    set_time(address_in(found.library, "X509_VERIFY_PARAM_set_time"))(parameters, int(later.timestamp()))


def test_an_authority_that_is_no_longer_trusted_does_not_resume(kind: str, version: str) -> None:
    here, client = DictPort(), client_context(version, client_certificate())
    first = visit(serve(kind, version, here), client)
    there = DictPort(store=here.store, allows_client_certificates=True)
    context = server_context(kind, version)
    ask_clients(context, ca="second")
    trusting = server_context(kind, version)
    ask_clients(trusting)
    attach(context, there, facts=read_facts(trusting))
    with pytest.raises(TLS_ERRORS):
        visit(context, client, session=first.session)
    assert there.refusals() == [Verdict.CLIENT_CERTIFICATE]


def test_a_client_whose_issuer_is_not_in_the_store_shakes_hands_in_full(kind: str, version: str) -> None:
    """A session holds no intermediate certificates: documented, and safe."""
    leaf = authority().create_child_ca().issue_cert("far@example.test")
    port, client = DictPort(), client_context(version, leaf)
    context = serve(kind, version, port)
    first = visit(context, client)
    assert first.server.peer is not None
    second = visit(context, client, session=first.session)
    assert not second.resumed
    assert second.server.peer == first.server.peer


def test_a_server_certificate_is_no_client_certificate(kind: str, version: str) -> None:
    """The purpose is checked as in a full handshake, by what the connection asks for."""
    leaf = server_only_certificate()
    here, client = DictPort(), client_context(version, leaf)
    lenient = serve(kind, version, here, lambda context: set_purpose(context, _ANY_PURPOSE))
    first = visit(lenient, client)
    assert first.server.peer is not None
    assert visit(lenient, client, session=first.session).resumed
    with pytest.raises(TLS_ERRORS):
        visit(serve(kind, version, here), client, session=first.session)
    assert here.refusals() == [Verdict.CLIENT_CERTIFICATE]


_ANY_PURPOSE = 7
"""X509_PURPOSE_ANY of <openssl/x509v3.h>."""


def set_purpose(context: Any, purpose: int) -> None:
    found = libssl.find(context)
    set_it = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    address = address_in(found.library, "X509_VERIFY_PARAM_set_purpose")
    assert set_it(address)(found.library.functions.SSL_CTX_get0_param(found.pointer), purpose) == 1


def server_only_certificate() -> trustme.LeafCert:
    """A certificate whose extended key usage is for servers alone."""
    template = authority().issue_cert("a.test")
    leaf = x509.load_pem_x509_certificate(template.cert_chain_pems[0].bytes())
    key = load_pem_private_key(authority().private_key_pem.bytes(), None)
    own = load_pem_private_key(template.private_key_pem.bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    assert isinstance(own, EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        leaf.issuer,
        leaf.subject,
        own.public_key(),
        x509.random_serial_number(),
        now - timedelta(hours=1),
        now + timedelta(days=1),
    ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=True)
    pem = builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
    return trustme.LeafCert(template.private_key_pem.bytes(), pem, [])


def test_a_certificate_that_suite_b_rules_out_does_not_resume_where_that_is_asked_for(kind: str, version: str) -> None:
    """RFC 6460 section 3: of the curves P-256 and P-384 alone. OpenSSL has it from the cipher list."""
    leaf = authority().issue_cert("rsa@example.test", key_type=trustme.KeyType.RSA)
    port, client = DictPort(), client_context(version, leaf)
    lax = serve(kind, version, port)
    first = visit(lax, client)
    assert visit(serve(kind, version, port, suite_b), client_context(version, client_certificate())).server.peer
    with pytest.raises(TLS_ERRORS):
        visit(serve(kind, version, port, suite_b), client, session=first.session)
    assert port.refusals() == [Verdict.CLIENT_CERTIFICATE]
    assert visit(lax, client, session=first.session).resumed


def suite_b(context: Any) -> None:
    found = libssl.find(context)
    set_list = ffi.cast("int(*)(uintptr_t, char *)", address_in(found.library, "SSL_CTX_set_cipher_list"))
    assert set_list(found.pointer, b"SUITEB128") == 1


def test_a_callback_of_the_applications_cannot_be_asked_again(kind: str, version: str) -> None:
    if kind == "stdlib":
        return  # Python's ssl has no verify callback

    def prepare(context: Any) -> None:
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *arguments: bool(arguments[-1]))

    port, client = DictPort(), client_context(version, client_certificate())
    context = serve(kind, version, port, prepare)
    first = visit(context, client)
    assert not visit(context, client, session=first.session).resumed
    assert port.refusals() == [Verdict.CLIENT_CERTIFICATE]


def ticket_keys() -> EdgeKeys:
    key = EdgeKey(b"k" * 16, os.urandom(32), os.urandom(32), 900.0, 1800.0, 5400.0, 3600.0)
    return EdgeKeys(key, {key.name: key}, "edge-1", lifetime12_s=3600.0, lifetime13_s=3600.0, lineage_s=86400.0)


def let_nobody_in(connection: SSL.Connection) -> None:
    """By a verify callback, in the mode of `ask_clients`."""
    connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: False)


def come_to(context: Any, client: ssl.SSLContext, session: Any, prepare: Callable[[Any], None]) -> None:
    """Shake hands on a connection that the program has set up itself."""
    server, end = server_end(context), StdlibEnd(client, server=False, name="a.test", session=session)
    prepare(server.tls)
    shake_hands(end, server)


@pytest.mark.parametrize("mode", [Mode.SESSIONS, Mode.TICKETS])
def test_a_callback_that_a_connection_alone_has_is_not_passed_by(kind: str, version: str, mode: Mode) -> None:
    """An admin's port may ask more of its clients than others of its context, in the same mode."""
    if kind == "stdlib":
        return  # Python's ssl has no verify callback
    port, client = DictPort(ticket_keys=ticket_keys()), client_context(version, client_certificate())
    context = server_context(kind, version)
    ask_clients(context)
    attach(context, port, mode=mode)
    first = visit(context, client)
    with pytest.raises(TLS_ERRORS):
        come_to(context, client, None, let_nobody_in)
    with pytest.raises(TLS_ERRORS):
        come_to(context, client, first.session, let_nobody_in)
    assert port.unusable_reasons() == []
    assert port.count("lookup_refused" if mode is Mode.SESSIONS else "ticket_refused", Verdict.CLIENT_CERTIFICATE) == 1
    assert visit(context, client, session=first.session).resumed, "where no callback is to be asked"


def other_name(connection: Any) -> None:
    found = libssl.find_connection(connection)
    assert found is not None
    set_host = ffi.cast("int(*)(uintptr_t, char *)", address_in(found.library, "SSL_set1_host"))
    assert set_host(found.pointer, b"elsewhere.test") == 1


def other_authority(connection: Any) -> None:
    found = libssl.find_connection(connection)
    assert found is not None
    context = server_context("pyopenssl" if isinstance(connection, SSL.Connection) else "stdlib")
    ask_clients(context, ca="second")
    store = found.library.functions.SSL_CTX_get_cert_store(libssl.find(context).pointer)
    assert found.library.functions.SSL_ctrl(found.pointer, 106, 1, ffi.cast("void *", store)) == 1


@pytest.mark.parametrize("asks", [other_name, other_authority])
def test_what_a_connection_alone_asks_of_certificates_is_asked_again(
    kind: str, version: str, asks: Callable[[Any], None]
) -> None:
    """SSL_set1_host(3), and SSL_set1_verify_cert_store(3), which is SSL_CTRL_SET_VERIFY_CERT_STORE."""
    port, client = DictPort(), client_context(version, client_certificate())
    context = serve(kind, version, port)
    first = visit(context, client)
    with pytest.raises(TLS_ERRORS):
        come_to(context, client, first.session, asks)
    assert port.refusals() == [Verdict.CLIENT_CERTIFICATE]
    assert visit(context, client, session=first.session).resumed


def test_optional_authentication_keeps_sessions_with_and_without_certificate_apart(kind: str, version: str) -> None:
    port = DictPort()
    context = server_context(kind, version)
    ask_clients(context, required=False)
    attach(context, port)
    anonymous, named = client_context(version), client_context(version, client_certificate())
    first, second = visit(context, anonymous), visit(context, named)
    assert [made[2] for made in port.made] == [False, True]
    assert visit(context, anonymous, session=first.session).server.peer is None
    assert visit(context, named, session=second.session).server.peer is not None


def test_a_list_that_is_issued_anew_with_the_same_entries_parts_nobody(kind: str, version: str, tmp_path: Path) -> None:
    """Each signature is another, as each issue's dates are: 0.1.0 made an island of every server that had it first."""
    here, client = DictPort(allows_client_certificates=True), client_context(version, client_certificate())
    gone = client_certificate("gone")
    servers = []
    for port, lost in ((here, [gone]), (here, [gone]), (here, [gone, client_certificate("gone too")])):
        context = server_context(kind, version)
        ask_clients(context)
        load_list(context, revoking(*lost), tmp_path)
        attach(context, port)
        servers.append(context)
    first = visit(servers[0], client)
    assert visit(servers[1], client, session=first.session).resumed
    assert not visit(servers[2], client, session=first.session).resumed, "who revokes more is another border"
