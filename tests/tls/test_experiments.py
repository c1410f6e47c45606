"""What OpenSSL lets through when sessions are shared, and that it doesn't here: each was seen to succeed without us."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from OpenSSL import SSL

from meshcache.core.policy.gates import Verdict
from meshcache.tls import libssl
from meshcache.tls.functions import der_of, ffi
from tests.tls.world import (
    KINDS,
    TLS_ERRORS,
    VERSIONS,
    DictPort,
    PyOpenSSLEnd,
    ask_clients,
    attach,
    client_certificate,
    client_context,
    server_context,
    server_end,
    set_ciphers,
    shake_hands,
    visit,
)

pytestmark = [pytest.mark.parametrize("kind", KINDS), pytest.mark.parametrize("version", VERSIONS)]


def serve(kind: str, version: str, port: DictPort, prepare: Any = None, **more: Any) -> Any:
    """A server's context, attached; `prepare(context)` runs before, since pyOpenSSL's can't be changed after use."""
    context = server_context(kind, version)
    if prepare is not None:
        prepare(context)
    attach(context, port, **more)
    return context


def on_server_name(context: Any, act: Any) -> None:
    """Call ``act(connection)`` in the context's SNI callback."""
    if isinstance(context, ssl.SSLContext):
        context.sni_callback = lambda tls, _name, _context: act(tls)
    else:
        context.set_tlsext_servername_callback(act)


def switch_to(context: Any) -> Any:
    def act(connection: Any) -> None:
        if isinstance(connection, SSL.Connection):
            connection.set_context(context)
        else:
            connection.context = context

    return act


def test_the_scope_is_set_before_the_lookup_which_comes_before_the_sni_callback(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port, lambda c: on_server_name(c, lambda _tls: port.log.append(("sni",))))
    first = visit(context, client)
    port.log.clear()
    assert visit(context, client, session=first.session).resumed
    assert [event for event in port.log if event[0] in ("hit", "sni")] == [("hit",), ("sni",)]


def test_a_session_of_one_name_does_not_resume_under_another(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port)
    first = visit(context, client, name="a.test")
    other = visit(context, client, name="b.test", session=first.session)
    assert not other.resumed
    assert port.count("hit_not_resumed") == 1
    assert visit(context, client, name="a.test", session=first.session).resumed, "and the entry is still there"


def test_a_session_of_one_name_does_not_resume_where_the_sni_callback_switches_contexts(
    kind: str, version: str
) -> None:
    port, client = DictPort(), client_context(version)
    other = server_context(kind, version)
    first = visit(serve(kind, version, port), client, name="a.test")
    switching = serve(kind, version, port, lambda c: on_server_name(c, switch_to(other)))
    assert not visit(switching, client, name="b.test", session=first.session).resumed


def test_a_session_made_after_the_sni_callback_switched_contexts_is_not_kept(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    other = server_context(kind, version)
    visit(serve(kind, version, port, lambda c: on_server_name(c, switch_to(other))), client)
    assert port.log == []


@pytest.mark.parametrize("name", [None, "a.test"])
def test_a_session_resumes_under_its_own_name_in_any_spelling(kind: str, version: str, name: str | None) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port)
    first = visit(context, client, name=name)
    assert visit(context, client, name=name and name.upper(), session=first.session).resumed


def test_listed_names_are_one_class(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port, listed=("a.test", "b.test"))
    first = visit(context, client, name="a.test")
    assert visit(context, client, name="b.test", session=first.session).resumed


def test_a_name_that_the_certificate_does_not_cover_shares_nothing(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port)
    first = visit(context, client, name="c.test")
    assert not visit(context, client, name="c.test", session=first.session).resumed
    assert not port.store
    assert port.count("full") == 2


def test_sessions_of_another_group_do_not_resume(kind: str, version: str) -> None:
    store: dict[bytes, bytes] = {}
    client = client_context(version)
    shop = serve(kind, version, DictPort(store=store), group="shop")
    bank = serve(kind, version, DictPort(store=store), group="bank")
    first = visit(shop, client)
    assert not visit(bank, client, session=first.session).resumed


def test_a_session_without_client_certificate_does_not_open_a_server_that_requires_one(kind: str, version: str) -> None:
    store: dict[bytes, bytes] = {}
    client = client_context(version)
    open_server = serve(kind, version, DictPort(store=store))
    closed_server = serve(kind, version, DictPort(store=store, allows_client_certificates=True), ask_clients)
    first = visit(open_server, client)
    with pytest.raises(TLS_ERRORS):
        visit(closed_server, client, session=first.session)


def test_a_session_under_one_authority_does_not_open_a_server_that_trusts_another(kind: str, version: str) -> None:
    store: dict[bytes, bytes] = {}
    client = client_context(version, client_certificate())
    ports = [DictPort(store=store, allows_client_certificates=True) for _ in range(2)]
    main = serve(kind, version, ports[0], ask_clients)
    second = serve(kind, version, ports[1], lambda c: ask_clients(c, ca="second"))
    first = visit(main, client)
    assert first.server.peer is not None
    with pytest.raises(TLS_ERRORS):
        visit(second, client, session=first.session)


def test_a_session_whose_cipher_was_disabled_does_not_resume(kind: str, version: str) -> None:
    if version == "1.3":
        before, after = "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"  # of one hash: OpenSSL would switch
    else:
        before, after = "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-GCM-SHA384"
    here, client = DictPort(), client_context(version)
    there = DictPort(store=here.store)
    client.set_ciphers("ALL:@SECLEVEL=0")
    first = visit(serve(kind, version, here, lambda c: set_ciphers(c, version, before)), client)
    second = visit(serve(kind, version, there, lambda c: set_ciphers(c, version, after)), client, session=first.session)
    assert not second.resumed
    assert there.refusals() == [Verdict.PROTOCOL]
    assert there.unusable_reasons() == [], "elsewhere it may be agreed to"


def test_another_sessions_der_under_this_id_is_a_miss_and_costs_no_handshake(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port)
    first, second = visit(context, client), visit(context, client)
    ids = [made[0] for made in port.made]
    assert len(ids) == 2
    port.store[ids[0]] = port.store[ids[1]]
    assert not visit(context, client, session=first.session).resumed
    assert port.unusable_reasons() == [Verdict.DER]
    assert visit(context, client, session=second.session).resumed


def test_a_tail_behind_the_der_is_refused(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port)
    first = visit(context, client)
    (session_id,) = port.store
    port.store[session_id] += bytes(4)
    assert not visit(context, client, session=first.session).resumed
    assert port.unusable_reasons() == [Verdict.DER]


@pytest.mark.parametrize("junk", [b"", b"\0", b"\x30\x80" + bytes(100), bytes(range(256)) * 8])
def test_junk_instead_of_der_is_a_miss_and_leaves_no_error_behind(kind: str, version: str, junk: bytes) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port)
    first = visit(context, client)
    (session_id,) = port.store
    port.store[session_id] = junk
    assert not visit(context, client, session=first.session).resumed
    assert port.unusable_reasons() == [Verdict.DER]


def test_a_session_of_another_version_filed_under_this_id_is_a_miss_that_burns_nothing(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port)
    first = visit(context, client)
    (session_id,) = port.store
    other = DictPort()
    other_version = "1.2" if version == "1.3" else "1.3"
    visit(serve(kind, other_version, other), client_context(other_version))
    ((other_id, other_der),) = other.store.items()
    port.store[session_id] = other_der.replace(other_id, session_id)
    assert not visit(context, client, session=first.session).resumed
    assert port.unusable_reasons() == []
    assert port.count("missed") == 1
    assert session_id in port.store


def test_an_unclean_close_keeps_the_session_unless_asked_otherwise(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port)
    first = visit(context, client, close=False)
    session = first.session
    del first
    assert visit(context, client, session=session).resumed
    assert port.count("removed") == 0


def test_an_unclean_close_drops_the_session_where_that_is_asked_for(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port, on_unclean_close="drop")
    first = visit(context, client, close=False)
    session = first.session
    del first
    assert port.count("removed") == 1
    assert not visit(context, client, session=session).resumed


def test_who_knows_an_id_but_not_the_key_burns_nothing(kind: str, version: str) -> None:
    port = DictPort()
    context = serve(kind, version, port)
    thief = SSL.Context(SSL.TLS_CLIENT_METHOD)
    honest = thief_end(thief)
    shake_hands(honest, server_end(context))
    (session_id,) = port.store
    session = with_another_key(honest)
    with pytest.raises(TLS_ERRORS):
        shake_hands(thief_end(thief, session), server_end(context))
    assert port.count("hit") == 1
    assert session_id in port.store
    assert port.count("removed") == 0
    assert port.unusable_reasons() == []


def thief_end(context: SSL.Context, der: bytes | None = None) -> PyOpenSSLEnd:
    end = PyOpenSSLEnd(context, server=False)
    end.tls.set_tlsext_host_name(b"a.test")
    if der is not None:
        functions, pointer = found(end)
        session = functions.d2i_SSL_SESSION(0, ffi.new("char *[1]", [ffi.from_buffer(der)]), len(der))
        assert functions.SSL_set_session(pointer, session) == 1
        functions.SSL_SESSION_free(session)
    return end


def found(end: PyOpenSSLEnd) -> tuple[Any, int]:
    place = libssl.find_connection(end.tls)
    assert place is not None
    return place.library.functions, place.pointer


def with_another_key(end: PyOpenSSLEnd) -> bytes:
    """The client's session, id and all, with one bit of its master key turned."""
    functions, pointer = found(end)
    der = der_of(functions.i2d_SSL_SESSION, functions.SSL_get_session(pointer))
    key = end.tls.master_key()
    assert key is not None
    spoiled = bytearray(der)
    spoiled[der.index(key)] ^= 1
    return bytes(spoiled)


def allow_early_data(context: Any) -> None:
    place = libssl.find(context)
    place.library.functions.SSL_CTX_set_max_early_data(place.pointer, 16_384)


def test_early_data_is_off_and_does_not_stop_resumption(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port, allow_early_data)
    first = visit(context, client)
    assert visit(context, client, session=first.session).resumed


def test_a_session_that_allows_early_data_is_not_kept(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = serve(kind, version, port)
    allow_early_data(context)
    visit(context, client)
    assert len(port.store) == (1 if version == "1.2" else 0)


def test_client_authentication_with_a_scope_never_ends_in_a_fatal_alert(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version, client_certificate())
    context = serve(kind, version, port, ask_clients)
    first = visit(context, client)
    again = visit(context, client, session=first.session)
    assert again.resumed, "where it was made, and its certificate is checked again"
    assert again.server.peer is not None


def test_what_is_made_after_a_callback_changed_what_is_asked_of_clients_is_not_kept(kind: str, version: str) -> None:
    """The application asks for a certificate under b.test alone, in its SNI callback: a lookup can't know that yet."""
    port, client = DictPort(), client_context(version)
    asking = server_context(kind, version)
    ask_clients(asking, required=False)

    def act(connection: Any) -> None:
        if isinstance(connection, ssl.SSLObject):
            connection.context = asking
        elif connection.get_servername() == b"b.test":
            connection.set_verify(SSL.VERIFY_PEER, lambda *_: True)

    context = serve(kind, version, port, lambda c: on_server_name(c, act))
    asked = visit(context, client, name="b.test")
    assert not port.store
    assert not visit(context, client, name="b.test", session=asked.session).resumed
