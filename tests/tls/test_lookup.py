from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1

from meshcache.core.policy.gates import Verdict
from meshcache.core.policy.scope import Names
from meshcache.tls import contexts, libssl
from meshcache.tls.contexts import attach_context, resumption
from meshcache.tls.functions import der_of, ffi
from meshcache.tls.lookup import get_callback
from meshcache.tls.scopes import Scopes
from tests.tls.world import (
    KINDS,
    REMOTE,
    VERSIONS,
    DictPort,
    StdlibEnd,
    address_in,
    ask_clients,
    attach,
    client_context,
    server_context,
    server_end,
    set_ciphers,
    visit,
)

REFUSED = Verdict.SETTINGS_DIFFER

pytestmark = [
    pytest.mark.usefixtures("hot_path"),
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.parametrize("version", VERSIONS),
]


@pytest.mark.parametrize("found", [("text", 1), (b"", "token"), (None, None), 7, (b"\x30", 1 << 80), ((), ())])
def test_a_port_that_finds_nonsense_is_a_miss(kind: str, version: str, found: Any) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    port.find = lambda _id: found  # type: ignore[method-assign]
    assert not visit(context, client, session=first.session).resumed
    assert port.count("fault", "get") + len(port.unusable_reasons()) == 1


@pytest.mark.parametrize("token", ["token", None, -1, 1 << 64, 1.5])
def test_a_token_that_is_none_is_a_miss_and_frees_the_session(kind: str, version: str, token: Any) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    ((_, der),) = port.store.items()
    port.find = lambda _id: (der, token)  # type: ignore[method-assign]
    assert not visit(context, client, session=first.session).resumed
    assert port.count("fault", "get") == 1


def test_the_server_name_of_a_resumed_connection_is_the_one_that_was_asked_for(kind: str, version: str) -> None:
    """Up to TLS 1.2 OpenSSL tells the session's, and a session that was decoded has none."""
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach_context(context, port, Scopes(Names(("*.test",), ("a.test", "b.test")), b"digest"))
    first = visit(context, client, name="a.test", close=False)
    assert contexts.server_name(first.server.tls) == "a.test"
    for asked in ("b.test", "a.test"):
        again = visit(context, client, session=first.session, name=asked, close=False)
        assert again.resumed
        assert contexts.server_name(again.server.tls) == asked


def test_ids_on_the_wire_reach_the_port_as_they_are(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    asked: list[bytes] = []
    port.find = lambda session_id: asked.append(session_id)  # type: ignore[method-assign]
    visit(context, client, session=first.session)
    assert asked == [port.made[0][0]]
    assert len(asked[0]) == 32


@pytest.mark.parametrize("size", [1, 31, 32, 33, 200, 4000])
def test_only_an_identity_as_long_as_an_id_reaches_the_port(kind: str, version: str, size: int) -> None:
    """OpenSSL looks for no other where sessions are kept (tls_get_stateful_ticket of its statem/extensions_srvr.c)."""
    if version == "1.2":
        pytest.skip("there a session id has 32 bytes at most (RFC 5246 section 7.4.1.2), and an empty one is none")
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    end = StdlibEnd(client, server=False, name="a.test", session=visit(context, client).session)
    assert not end.shake()
    asked: list[bytes] = []
    port.find = lambda session_id: asked.append(session_id)  # type: ignore[method-assign]
    server = server_end(context)
    server.feed(with_identity(end.take(), port.made[0][0], bytes(range(256)) * 16, size))
    assert not server.shake(), "it answers, with no alert"
    assert asked == ([(bytes(range(256)) * 16)[:32]] if size == 32 else [])
    assert port.count("fault", "get") == 0


def with_identity(hello: bytes, session_id: bytes, other: bytes, size: int) -> bytes:
    """A TLS 1.3 ClientHello with another identity in place of an id: whatever holds it, up to the record, says how long
    it is.
    """
    start = hello.index(session_id, 5 + 4 + 2 + 32 + 33)
    changed = bytearray(hello[:start] + other[:size] + hello[start + len(session_id) :])
    at = 5 + 4 + 2 + 32
    at += 1 + changed[at]
    at += 2 + int.from_bytes(changed[at : at + 2])
    at += 1 + changed[at]  # identity, list of identities, extension; extensions, message, record
    for place, width in ((start - 2, 2), (start - 4, 2), (start - 6, 2), (at, 2), (6, 3), (3, 2)):
        length = int.from_bytes(changed[place : place + width]) + size - len(session_id)
        changed[place : place + width] = length.to_bytes(width)
    return bytes(changed)


def test_a_hit_that_openssl_does_not_resume_is_counted_once(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context, other = server_context(kind, version), server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    there = DictPort(store=port.store)
    attach_context(other, there, Scopes(Names(("a.test",)), b"other"))
    second = visit(other, client, session=first.session)
    assert not second.resumed
    assert resumption(second.server.tls) == 0
    counted = [event for event in there.log if event[0] not in ("created", "hit")]
    assert sorted(counted) == [("full",), ("hit_not_resumed",), ("resumed", REMOTE)], (
        "a lookup that found it, and lost it"
    )


def test_a_connection_that_asks_for_more_than_its_context_looks_nothing_up(kind: str, version: str) -> None:
    """Post-handshake authentication sets a flag on each connection in Python; SSL_set_verify does so at will."""
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    ask_clients(context, required=False)
    attachment = attach(context, port)
    first = visit(context, client)
    attachment.verify_mode = 3
    port.log.clear()
    assert not visit(context, client, session=first.session).resumed
    assert port.log == [("lookup_refused", REFUSED), ("full",), ("session_refused", REFUSED)]


@pytest.mark.parametrize("length", [1, 31, 32])
def test_a_session_whose_id_only_begins_alike_is_refused(kind: str, version: str, length: int) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    ((session_id, der),) = port.store.items()
    changed = session_id[: length - 1] + bytes([session_id[length - 1] ^ 1]) + session_id[length:]
    port.store[session_id] = der.replace(session_id, changed)
    assert not visit(context, client, session=first.session).resumed
    assert port.unusable_reasons() == [Verdict.DER]


def test_a_session_that_allows_early_data_is_refused(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    ((session_id, der),) = port.store.items()
    library = libssl.find(context).library
    functions = library.functions
    session = functions.d2i_SSL_SESSION(0, ffi.new("char *[1]", [ffi.from_buffer(der)]), len(der))
    allow = ffi.cast("int(*)(uintptr_t, uint32_t)", address_in(library, "SSL_SESSION_set_max_early_data"))
    allow(session, 100)
    port.store[session_id] = der_of(functions.i2d_SSL_SESSION, session)
    functions.SSL_SESSION_free(session)
    assert not visit(context, client, session=first.session).resumed
    assert port.unusable_reasons() == [Verdict.DER]


CIPHERS = {
    "1.2": ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    "1.3": ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
}
"""Of each version, two that have no client in common but one that takes both."""


def legacy_and_modern(kind: str, version: str, store: dict[bytes, bytes], *names: str) -> list[tuple[Any, DictPort]]:
    """Two servers over one store, the second with other ciphers and, where given, for another name."""
    made = []
    for ciphers, name in zip(CIPHERS[version], names, strict=True):
        context, port = server_context(kind, version, (name,)), DictPort(store=store)
        set_ciphers(context, version, ciphers)
        attach(context, port)
        made.append((context, port))
    return made


def any_cipher(version: str) -> Any:
    client = client_context(version)
    client.set_ciphers("ALL:@SECLEVEL=0")
    return client


def test_an_id_offered_where_its_cipher_is_not_agreed_to_burns_nothing(kind: str, version: str) -> None:
    """Whoever saw it may offer it anywhere in its group, where ciphers may differ: no digest has them."""
    store: dict[bytes, bytes] = {}
    (legacy, here), (modern, there) = legacy_and_modern(kind, version, store, "a.test", "a.test")
    client = any_cipher(version)
    first = visit(legacy, client)
    kept = dict(store)
    again = visit(modern, client, session=first.session)
    assert not again.resumed
    assert (there.unusable_reasons(), there.refusals()) == ([], [Verdict.PROTOCOL])
    assert kept.items() <= store.items()
    assert visit(legacy, client, session=first.session).resumed
    assert here.unusable_reasons() == []


def test_an_id_of_another_scope_is_a_plain_miss_where_its_cipher_is_not_agreed_to(kind: str, version: str) -> None:
    store: dict[bytes, bytes] = {}
    (legacy, _), (modern, there) = legacy_and_modern(kind, version, store, "a.test", "b.test")
    client = any_cipher(version)
    first = visit(legacy, client, name="a.test")
    again = visit(modern, client, name="b.test", session=first.session)
    assert not again.resumed
    assert (there.unusable_reasons(), there.refusals(), there.count("missed")) == ([], [], 1)
    assert visit(legacy, client, name="a.test", session=first.session).resumed


def test_a_refusal_is_counted_once_behind_a_hello_retry_request(kind: str, version: str) -> None:
    if (kind, version) != ("pyopenssl", "1.3"):
        pytest.skip("one kind will do")
    store: dict[bytes, bytes] = {}
    (legacy, _), (modern, there) = legacy_and_modern(kind, version, store, "a.test", "a.test")
    modern.set_tmp_ecdh(SECP384R1())  # which the client sends no key share for
    client = any_cipher(version)
    first = visit(legacy, client)
    assert not visit(modern, client, session=first.session).resumed
    assert there.refusals() == [Verdict.PROTOCOL]


def test_a_failed_decoding_leaves_nothing_in_openssls_queue_of_errors(kind: str, version: str) -> None:
    """An error left there would turn the connection's next "want read" into a failure (SSL_get_error(3))."""
    queued: list[int] = []

    class LookingPort(DictPort):
        def unusable(self, session_id: bytes, reason: Verdict, /) -> None:
            queued.append(peek())

    port, client = LookingPort(), client_context(version)
    context = server_context(kind, version)
    peek = ffi.cast("unsigned long(*)(void)", address_in(libssl.find(context).library, "ERR_peek_error"))
    attach(context, port)
    first = visit(context, client)
    (session_id,) = port.store
    port.store[session_id] = b"junk"
    visit(context, client, session=first.session)
    assert queued == [0]


def test_an_entry_of_another_version_is_a_miss_that_burns_nothing(kind: str, version: str) -> None:
    """Under TLS 1.3 OpenSSL would end the handshake; a stranger who saw an id could offer it under another version."""
    port, client = DictPort(), client_context(version)
    context, other = server_context(kind), server_context(kind)
    attach(context, port)
    attach(other, elsewhere := DictPort())
    first = visit(context, client)
    visit(other, client_context("1.2" if version == "1.3" else "1.3"))
    (session_id,) = port.store
    (foreign_id,) = set(elsewhere.store) - {b""}
    port.store[session_id] = entry = elsewhere.store[foreign_id].replace(foreign_id, session_id)
    port.log.clear()
    again = visit(context, client, session=first.session)
    assert not again.resumed
    assert sorted(event for event in port.log if event[0] != "created") == [("full",), ("hit",), ("missed",)]
    assert port.store[session_id] == entry


def test_without_a_name_a_resumed_connection_has_none(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client, name=None)
    again = visit(context, client, name=None, session=first.session, close=False)
    assert again.resumed
    assert contexts.server_name(again.server.tls) is None


def test_openssl_takes_over_what_it_is_given_and_is_given_nothing_on_a_context_that_is_not_attached(
    kind: str, version: str
) -> None:
    """SSL_CTX_sess_set_get_cb(3): with ``*copy`` it would count one more reference, which nobody gives back."""
    context = server_context(kind, version)
    attach(context, DictPort())
    library, _ = libssl.find(context)
    get = get_callback(contexts._callbacks[library].state)
    stranger = visit(server_context(kind, version), client_context(version), close=False)
    connection = libssl.find_connection(stranger.server.tls)
    assert connection is not None
    copy = ffi.new("int[2]", [1, 7])
    assert get(connection.pointer, ffi.new("char[32]"), 32, copy) == 0
    assert list(copy) == [0, 7]
