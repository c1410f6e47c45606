"""What a program around a node could do to open a border without noticing, and what it is told."""

from __future__ import annotations

import gc
import ssl
from typing import Any

import pytest

from meshcache import AttachError
from meshcache.tls.functions import ffi
from meshcache.tls.libssl import find_connection
from tests.nodes import Place
from tests.support.waiting import wait_until
from tests.tls.world import (
    KINDS,
    VERSIONS,
    DictPort,
    StdlibEnd,
    ask_clients,
    attach,
    client_context,
    server_context,
    server_end,
    shake_hands,
    visit,
)


def switching(kind: str, version: str | None, strict: Any) -> Any:
    """A context that asks nothing, with an SNI callback that switches to one that requires certificates."""
    context = server_context(kind, version)
    if isinstance(context, ssl.SSLContext):
        context.sni_callback = lambda tls, _name, _context: setattr(tls, "context", strict)
    else:
        context.set_tlsext_servername_callback(lambda connection: connection.set_context(strict))
    return context


@pytest.mark.parametrize("version", VERSIONS)
def test_openssl_resumes_before_an_sni_callback_can_ask_for_a_certificate(version: str) -> None:
    """The reason for the refusal below; should OpenSSL ever change its order, this is where to see it."""
    store: dict[bytes, bytes] = {}
    strict = server_context("stdlib", version)
    ask_clients(strict)
    early, late = server_context("stdlib", version), switching("stdlib", version, strict)
    for context in (early, late):
        attach(context, DictPort(store=store))
    client = client_context(version)
    back = visit(late, client, name="b.test", session=visit(early, client, name="b.test").session)
    assert back.resumed
    assert back.server.peer is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_with_an_sni_callback_is_therefore_refused(place: Place, kind: str) -> None:
    node = place.node("edge-1")
    strict = server_context(kind)
    ask_clients(strict)
    context = switching(kind, None, strict)
    with pytest.raises(AttachError, match="the context has an SNI callback"):
        node.attach(context, vip="shop")
    assert not node.detach(context), "it is in no VIP"


def test_a_name_that_is_swapped_between_two_client_hellos_does_not_help() -> None:
    """After a HelloRetryRequest (TLS 1.3) a client may send another name; the scope is that of the last one."""
    set_host_name = 55  # SSL_CTRL_SET_TLSEXT_HOSTNAME
    server, client, port = server_context("stdlib", "1.3"), client_context("1.3"), DictPort()
    server.set_ecdh_curve("secp384r1")  # which the client sends no share for
    attach(server, port)
    session = visit(server, client, name="a.test").session
    for first, second, expected in (("a.test", "a.test", True), ("a.test", "b.test", False)):
        there, here = server_end(server), StdlibEnd(client, server=False, name=first, session=session)
        here.shake()
        there.feed(here.take())
        there.shake()
        here.feed(there.take())
        found = find_connection(here.tls)
        assert found is not None
        found.library.functions.SSL_ctrl(found.pointer, set_host_name, 0, ffi.new("char[]", second.encode()))
        shake_hands(here, there)
        assert there.resumed == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unclean_close_takes_a_session_from_its_own_server_only_and_only_where_that_was_asked_for(
    place: Place, version: str
) -> None:
    """In TLS 1.2 a stranger who knows the id can cause it, so it must never travel."""
    one, other = place.node("edge-1"), place.node("edge-2")
    dropping = one.attach(server_context("stdlib", version), vip="shop", on_unclean_close="drop")
    found = place.server(other, version=version)
    place.wait_until_met()
    client = client_context(version)
    cut = visit(dropping, client, close=False)
    session = cut.session
    wait_until(lambda: other.stats()["vips"]["shop"]["entries"] == 1)
    del cut
    gc.collect()
    wait_until(lambda: one.stats()["vips"]["shop"]["entries"] == 0, what="the server forgets it")
    assert "withdraw" not in one.stats()["gossip"]["sent"]["kinds"]
    assert visit(found, client, session=session).resumed
