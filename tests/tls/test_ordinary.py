"""Sessions that remember more than their scope says: no server keeps one, and none from elsewhere resumes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from OpenSSL import SSL

from meshcache.core.policy.gates import Verdict
from meshcache.tls import libssl
from meshcache.tls.functions import der_of, ffi
from meshcache.tls.libssl import find_connection
from tests.tls.world import (
    KINDS,
    TLS_ERRORS,
    VERSIONS,
    DictPort,
    PyOpenSSLEnd,
    StdlibEnd,
    address_in,
    ask_clients,
    attach,
    client_context,
    give_certificate,
    server_certificate,
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

NO_EXTENDED_MASTER_SECRET = 1


def call(thing: Any, name: str, prototype: str, *arguments: Any) -> Any:
    """Call a function that the package doesn't use, in the OpenSSL of a context or a connection."""
    found = find_connection(thing) or libssl.find(thing)
    return ffi.cast(prototype, address_in(found.library, name))(found.pointer, *arguments)


def changed(context: Any, port: DictPort, change: Callable[[Any, int], None]) -> None:
    """Change the only session in the port, as another node could have made it."""
    functions = libssl.find(context).library.functions
    ((session_id, der),) = port.store.items()
    session = functions.d2i_SSL_SESSION(0, ffi.new("char *[1]", [ffi.from_buffer(der)]), len(der))
    change(functions, session)
    port.store[session_id] = der_of(functions.i2d_SSL_SESSION, session)
    functions.SSL_SESSION_free(session)


def test_a_session_with_a_maximum_fragment_length_is_not_kept_and_its_client_goes_on_in_full(
    kind: str, version: str
) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    constrained = client_context(version)
    assert call(constrained, "SSL_CTX_set_tlsext_max_fragment_length", "int(*)(uintptr_t, uint8_t)", 1) == 1
    first = visit(context, constrained)
    assert port.store == {}
    assert port.count("session_refused", Verdict.PROTOCOL) == 1
    assert call(constrained, "SSL_CTX_set_tlsext_max_fragment_length", "int(*)(uintptr_t, uint8_t)", 0) == 1
    assert not visit(context, constrained, session=first.session).resumed
    assert visit(context, client, session=visit(context, client).session).resumed


def test_a_session_with_a_maximum_fragment_length_from_elsewhere_is_a_full_handshake(kind: str, version: str) -> None:
    """Its DER ends in the field that no client may be reminded of: [17] of OpenSSL's SSL_SESSION_ASN1, one byte."""
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    ((session_id, der),) = port.store.items()
    port.store[session_id] = with_field(der, 17, b"\x01")
    assert not visit(context, client, session=first.session).resumed
    assert port.unusable_reasons() == [Verdict.PROTOCOL]


def with_field(der: bytes, number: int, value: bytes) -> bytes:
    """The DER of a session with one more optional INTEGER, in the place that its number has among the others."""
    assert der[:2] == b"\x30\x81", "a session takes 128 to 255 bytes"
    at, fields = 3, []
    while at < len(der):
        head = 3 if der[at] & 0x1F == 0x1F else 2
        assert der[at + head - 1] < 0x80
        end = at + head + der[at + head - 1]
        fields.append(der[at:end])
        at = end
    tag = b"\xa0"[0] | number if number < 31 else 0
    added = bytes([tag, 2 + len(value), 2, len(value)]) + value
    place = next((n for n, each in enumerate(fields) if each[0] & 0xE0 == 0xA0 and each[0] > tag), len(fields))
    body = b"".join((*fields[:place], added, *fields[place:]))
    return b"\x30\x81" + bytes([len(body)]) + body


def test_a_session_of_a_cipher_below_the_security_level_is_a_full_handshake(kind: str, version: str) -> None:
    """The list still has it; only the level forbids it (SSL_CTX_set_security_level(3)): AES-128 has 128 bits."""
    port, client = DictPort(), client_context(version)
    if version == "1.2":
        client.set_ciphers("ECDHE+AESGCM")
    lax, strict = server_context(kind, version), server_context(kind, version)
    attach(lax, port)
    prefer_aes128(lax, version)
    call(strict, "SSL_CTX_set_security_level", "void(*)(uintptr_t, int)", 4)
    attach(strict, port)
    first = visit(lax, client)
    assert "128" in first.client.tls.cipher()[0]
    second = server_end(strict)
    end = StdlibEnd(client, server=False, name="a.test", session=first.session)
    with suppress(*TLS_ERRORS):  # the certificate of the tests may be below the level too
        shake_hands(end, second)
    assert not second.resumed
    assert (port.unusable_reasons(), port.refusals()) == ([], [Verdict.PROTOCOL])
    assert visit(lax, client, session=first.session).resumed, "the level is of one context alone"


def prefer_aes128(context: Any, version: str) -> None:
    if version == "1.2":
        call(context, "SSL_CTX_set_cipher_list", "int(*)(uintptr_t, char *)", ffi.new("char[]", b"ECDHE+AES128"))
    else:
        suite = ffi.new("char[]", b"TLS_AES_128_GCM_SHA256")
        call(context, "SSL_CTX_set_ciphersuites", "int(*)(uintptr_t, char *)", suite)


def test_where_one_server_has_no_extended_master_secret_clients_go_on_in_full(kind: str, version: str) -> None:
    """OpenSSL answers such a return with a fatal alert; in another scope it is a full handshake."""
    store: dict[bytes, bytes] = {}
    client = client_context(version)
    with_it, without = server_context(kind, version), server_context(kind, version)
    libssl.find(without).library.functions.SSL_CTX_set_options(libssl.find(without).pointer, NO_EXTENDED_MASTER_SECRET)
    attach(with_it, DictPort(store=store))
    attach(without, DictPort(store=store))
    for there, here in ((with_it, without), (without, with_it)):
        first = visit(there, client)
        assert not visit(here, client, session=first.session).resumed
    again = visit(without, client)
    assert visit(without, client, session=again.session).resumed, "and two that have none share on"


def test_what_the_makers_clock_says_makes_no_difference(kind: str, version: str) -> None:
    """0.1.0 refused what was made by a clock that is further behind than the lifetime, 0 of 15 resumed."""
    for offset_s in (-86400, -300, 300, 86400):
        port, client = DictPort(), client_context(version)
        context = server_context(kind, version)
        attach(context, port, lifetime_s=60)
        first = visit(context, client)
        then = int(time.time()) + offset_s
        changed(context, port, lambda f, session, then=then: f.SSL_SESSION_set_time(session, then))  # type: ignore[misc]
        second = visit(context, client, session=first.session)
        assert second.resumed, offset_s


def test_a_renewed_ticket_tells_the_lifetime_of_today(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attachment = attach(context, port, lifetime_s=3000)
    first = visit(context, client)
    attachment.limit(60)
    second = visit(context, client, session=first.session)
    assert second.resumed
    if version == "1.3":
        assert (first.session.ticket_lifetime_hint, second.session.ticket_lifetime_hint) == (3000, 60)


def raw_key_ends(kind: str, version: str, context: Any) -> tuple[PyOpenSSLEnd, PyOpenSSLEnd]:
    """Both ends of a connection on which the client will show a raw public key (RFC 7250)."""
    mine = SSL.Context(SSL.TLS_CLIENT_METHOD)
    give_certificate(mine, server_certificate("client.test"))
    client, server = PyOpenSSLEnd(mine, server=False), PyOpenSSLEnd(context, server=True)
    client.tls.set_tlsext_host_name(b"a.test")
    for end in (client, server):
        set_types = "int(*)(uintptr_t, char *, size_t)"
        assert call(end.tls, "SSL_set1_client_cert_type", set_types, b"\x02\x00", 2) == 1
    accept = ffi.cast("uintptr_t", _accept)
    call(server.tls, "SSL_set_verify", "void(*)(uintptr_t, int, uintptr_t)", 1, accept)
    return client, server


@ffi.callback("int(int, void *)")  # type: ignore[untyped-decorator]
def _accept(_ok: int, _store: object) -> int:
    return 1


def test_a_session_of_a_client_that_showed_a_raw_public_key_is_not_kept(kind: str, version: str) -> None:
    """To OpenSSL such a client has no certificate, so its sessions would travel under "never"."""
    port = DictPort()
    context = server_context(kind, version)
    if kind == "stdlib":
        pytest.skip("this OpenSSL knows no raw public keys")
    ask_clients(context, required=False)
    attach(context, port)
    client, server = raw_key_ends(kind, version, context)
    shake_hands(client, server)
    session = call(server.tls, "SSL_get_session", "uintptr_t(*)(uintptr_t)")
    functions = libssl.find(context).library.functions
    assert functions.SSL_SESSION_get0_peer_rpk(session) != 0
    assert functions.SSL_SESSION_get0_peer(session) == 0
    assert port.store == {}
    assert port.count("session_refused", Verdict.CLIENT_CERTIFICATE) == 1


def test_a_session_of_a_raw_public_key_from_elsewhere_is_a_full_handshake(kind: str, version: str) -> None:
    port = DictPort()
    context = server_context(kind, version)
    if kind == "stdlib":
        pytest.skip("this OpenSSL knows no raw public keys")
    ask_clients(context, required=False)
    attach(context, port)
    client, server = raw_key_ends(kind, version, context)
    shake_hands(client, server)
    functions = libssl.find(context).library.functions
    session = functions.SSL_get_session(find_connection(server.tls).pointer)  # type: ignore[union-attr]
    count = ffi.new("unsigned int[1]")
    session_id = ffi.unpack(functions.SSL_SESSION_get_id(session, count), count[0])
    port.store[bytes(session_id)] = der_of(functions.i2d_SSL_SESSION, session)
    again, server = raw_key_ends(kind, version, context)
    again.tls = SSL.Connection(client.tls.get_context(), None)
    again.tls.set_connect_state()
    again.tls.set_tlsext_host_name(b"a.test")
    again.tls.set_session(client.tls.get_session())  # type: ignore[arg-type]
    shake_hands(again, server)
    assert not server.resumed
    assert port.unusable_reasons() == [Verdict.CLIENT_CERTIFICATE]


def test_a_session_of_a_client_with_a_key_of_its_own_is_not_kept(kind: str, version: str) -> None:
    """TLS 1.2 with PSK: OpenSSL hands the identity on to whoever resumes. (In TLS 1.3 that is a resumption itself.)"""
    if version == "1.3":
        pytest.skip("there an external PSK is a resumption without a lineage: see test_creation.py")
    port = DictPort()
    context, client = server_context(kind, version), SSL.Context(SSL.TLS_CLIENT_METHOD)
    for each in (context, client):
        listed = ffi.new("char[]", b"ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256")
        assert call(each, "SSL_CTX_set_cipher_list", "int(*)(uintptr_t, char *)", listed) == 1
    client.set_max_proto_version(SSL.TLS1_2_VERSION)
    setter = "void(*)(uintptr_t, uintptr_t)"
    call(context, "SSL_CTX_set_psk_server_callback", setter, ffi.cast("uintptr_t", _server_key))
    call(client, "SSL_CTX_set_psk_client_callback", setter, ffi.cast("uintptr_t", _client_key))
    attach(context, port)
    end, server = PyOpenSSLEnd(client, server=False), server_end(context)
    end.tls.set_tlsext_host_name(b"a.test")
    shake_hands(end, server)
    assert port.store == {}
    assert port.count("session_refused", Verdict.CLIENT_CERTIFICATE) == 1


@ffi.callback("unsigned int(uintptr_t, char *, char *, unsigned int)")  # type: ignore[untyped-decorator]
def _server_key(_ssl: int, _identity: Any, key: Any, _size: int) -> int:
    ffi.memmove(key, bytes(16), 16)
    return 16


@ffi.callback("unsigned int(uintptr_t, char *, char *, unsigned int, char *, unsigned int)")  # type: ignore[untyped-decorator]
def _client_key(_ssl: int, _hint: Any, identity: Any, _most: int, key: Any, _size: int) -> int:
    ffi.memmove(identity, b"admin\0", 6)
    ffi.memmove(key, bytes(16), 16)
    return 16
