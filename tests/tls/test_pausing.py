"""Tests of `tls.pausing`: what is read from a ClientHello, and handshakes that pause in Python's callbacks.

Those of the compiled ones, which need a node, are in `tests/runtime/lookups/test_asking.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from meshcache.errors import AttachError
from meshcache.tls import contexts, pausing
from meshcache.tls.libssl import find
from meshcache.tls.names import NameCallback, NameMap, set_sni_callback
from meshcache.tls.pausing import IDS_MAX, identities
from tests.support.hot_paths import python_path
from tests.tls.world import (
    VERSIONS,
    DictPort,
    StdlibEnd,
    attach,
    client_context,
    server_context,
    server_end,
    shake_hands,
    visit,
)

__all__ = ["python_path"]


def psk(*offered: bytes, cut: int | None = None) -> bytes:
    """An extension with these identities, and an age behind each (RFC 8446 section 4.2.11)."""
    listed = b"".join(len(each).to_bytes(2) + each + bytes(4) for each in offered)
    return (len(listed).to_bytes(2) + listed + b"\0\x21\x20" + bytes(32))[:cut]


A, B = bytes(range(32)), bytes(range(1, 33))


def test_identities_as_long_as_an_id_are_found_in_order() -> None:
    assert identities(psk(A, b"short", B, bytes(200))) == (A, B)
    assert identities(psk(bytes(31), bytes(33))) == ()


def test_of_many_identities_only_the_first_are_looked_at() -> None:
    assert identities(psk(*([A] * 40))) == (A,) * IDS_MAX


@pytest.mark.parametrize("cut", range(2 + 2 + 32))
def test_a_list_that_is_cut_off_has_no_identity(cut: int) -> None:
    assert identities(psk(A, cut=cut)) == ()


def test_a_list_that_claims_to_be_longer_than_it_is_ends_where_it_ends() -> None:
    assert identities(b"\xff\xff" + psk(A)[2:40]) == (A,)
    assert identities(b"\x00\x26\xff\xff" + A + bytes(4)) == ()


@given(st.binary(max_size=400))
def test_whatever_bytes_come_what_is_found_is_in_them(extension: bytes) -> None:
    found = identities(extension)
    assert len(found) <= IDS_MAX
    assert all(len(each) == 32 and each in extension for each in found)


@dataclass
class Wait:
    over: bool = False
    pulled: bool = False


@dataclass
class Elsewhere:
    """What a node would ask: here nobody, and the test says when it is over."""

    wanted: bool = True
    holds: bool = False
    asked: list[tuple[bytes, ...]] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)

    def begin(self, ids: tuple[bytes, ...]) -> Wait | None:
        self.asked.append(ids)
        self.waits.append(Wait())
        return self.waits[-1]

    def hold(self, session_id: bytes) -> None:
        raise AssertionError("nobody asked for it")

    def pulled(self, token: int) -> int:
        return token | 3


def begun(context: Any, client: Any, session: Any = None) -> tuple[StdlibEnd, Any]:
    """Both ends, after the server has read the ClientHello."""
    end, server = StdlibEnd(client, server=False, name="a.test", session=session), server_end(context)
    end.shake()
    server.feed(end.take())
    return end, server


@pytest.fixture(params=VERSIONS)
def shop(request: pytest.FixtureRequest) -> Any:
    return Shop(request.param)


class Shop:
    """A VIP of one context whose handshakes may be paused, and a client that has been there."""

    def __init__(self, version: str) -> None:
        self.port, self.client = DictPort(), client_context(version)
        self.context = server_context("pyopenssl", version)
        attach(self.context, self.port, pauses=True)
        self.session = visit(self.context, self.client).session
        self.store, self.port.store = self.port.store, {}
        self.port.asking = self.elsewhere = Elsewhere()


def test_a_miss_pauses_until_it_is_over_and_what_came_meanwhile_resumes(shop: Shop) -> None:
    end, server = begun(shop.context, shop.client, shop.session)
    for _ in range(3):
        with pytest.raises(SSL.Error):
            server.tls.do_handshake()
        assert contexts.paused(server.tls) is shop.elsewhere.waits[0]
    assert shop.elsewhere.asked == [(next(iter(shop.store)),)]
    shop.port.store = shop.store
    shop.elsewhere.waits[0].over = True
    shake_hands(end, server)
    assert server.resumed
    assert contexts.paused(server.tls) is None
    assert len(shop.elsewhere.asked) == 1, "a handshake pauses once"
    assert contexts.resumption(server.tls) & 3 != 3


def test_what_was_fetched_for_a_handshake_says_so(shop: Shop) -> None:
    end, server = begun(shop.context, shop.client, shop.session)
    with pytest.raises(SSL.Error):
        server.tls.do_handshake()
    shop.port.store = shop.store
    shop.elsewhere.waits[0].over = shop.elsewhere.waits[0].pulled = True
    shake_hands(end, server)
    assert server.resumed
    assert contexts.resumption(server.tls) & 3 == 3


def test_when_nothing_came_the_handshake_is_a_full_one(shop: Shop) -> None:
    end, server = begun(shop.context, shop.client, shop.session)
    with pytest.raises(SSL.Error):
        server.tls.do_handshake()
    shop.elsewhere.waits[0].over = True
    shake_hands(end, server)
    assert not server.resumed
    assert shop.port.count("missed") == 1


def test_nobody_is_asked_where_nobody_wants_it(shop: Shop) -> None:
    shop.elsewhere.wanted = False
    assert not visit(shop.context, shop.client, session=shop.session).resumed
    shop.port.asking = None
    assert not visit(shop.context, shop.client, session=shop.session).resumed
    assert shop.elsewhere.asked == []


def test_a_fault_of_who_is_asked_is_a_miss(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.elsewhere, "begin", lambda ids: 1 / 0)
    assert not visit(shop.context, shop.client, session=shop.session).resumed
    assert shop.port.count("fault", "client_hello") == 1


def test_a_context_that_did_not_say_it_can_wait_is_never_paused(shop: Shop) -> None:
    attach(shop.context, shop.port)
    assert not visit(shop.context, shop.client, session=shop.session).resumed
    assert shop.elsewhere.asked == []


def test_pauses_are_bounded_and_those_that_are_over_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop("1.2")
    monkeypatch.setattr(pausing, "PAUSES_MAX", 2)
    ends = [begun(shop.context, shop.client, shop.session) for _ in range(3)]
    for _, server in ends[:2]:
        with pytest.raises(SSL.Error):
            server.tls.do_handshake()
    with pytest.raises(SSL.WantReadError):
        ends[2][1].tls.do_handshake()
    assert len(shop.elsewhere.asked) == 2
    for wait in shop.elsewhere.waits:
        wait.over = True  # their clients are gone, and nobody goes on with them
    _, server = begun(shop.context, shop.client, shop.session)
    with pytest.raises(SSL.Error):
        server.tls.do_handshake()
    assert contexts.paused(server.tls) is shop.elsewhere.waits[2]


def test_pythons_ssl_is_refused_since_it_could_not_go_on() -> None:
    with pytest.raises(AttachError, match="can't be paused"):
        attach(server_context("stdlib"), DictPort(), pauses=True)


def test_what_was_fetched_before_anybody_could_wait_says_so_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(_ids: tuple[bytes, ...]) -> Wait:
        shop.port.store = shop.store
        return Wait(over=True, pulled=True)

    monkeypatch.setattr(shop.elsewhere, "begin", at_once)
    seen = visit(shop.context, shop.client, session=shop.session)
    assert seen.resumed
    assert contexts.resumption(seen.server.tls) & 3 == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_a_handshake_that_was_moved_to_its_names_context_pauses_there_and_goes_on_there(version: str) -> None:
    listening = server_context("pyopenssl", version, ("listening.test",))
    named, port, client = server_context("pyopenssl", version, ("a.test",)), DictPort(), client_context(version)
    names = NameMap(listening, find(listening).pointer, refuses=True)
    names.put("a.test", named, find(named).pointer)
    attach(listening, port, names=names, pauses=True)
    attach(named, port, pauses=True)
    set_sni_callback(listening, NameCallback(names, contexts.chosen_for))
    session = visit(listening, client).session
    store, port.store = port.store, {}
    port.asking = elsewhere = Elsewhere()
    end, server = begun(listening, client, session)
    with pytest.raises(SSL.Error):
        server.shake()
    assert contexts.paused(server.tls) is elsewhere.waits[0]
    port.store.update(store)
    elsewhere.waits[0].over = True
    shake_hands(end, server)
    assert end.resumed
    assert server.tls.get_context() is named
