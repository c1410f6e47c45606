"""Contexts chosen by server name: the map, OpenSSL's SNI callback over it, and connections that are moved by both."""

from __future__ import annotations

import gc
import ssl
import threading
import weakref
from itertools import product
from typing import Any

import pytest
from OpenSSL import SSL

from meshcache.errors import AttachError
from meshcache.tls import names as module
from meshcache.tls.contexts import attachment_of, chosen_for
from meshcache.tls.functions import ffi
from meshcache.tls.libssl import find, find_connection
from meshcache.tls.names import (
    LEAVING_MAX,
    NameCallback,
    NameMap,
    checked_name,
    has_ours,
    set_sni_callback,
    sni_callback,
)
from tests.tls.world import (
    KINDS,
    TLS_ERRORS,
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

pytestmark = pytest.mark.usefixtures("hot_path")

by_kind = pytest.mark.parametrize("kind", KINDS)
by_version = pytest.mark.parametrize("version", VERSIONS)

_SET_HOST_NAME = 55
"""SSL_CTRL_SET_TLSEXT_HOSTNAME of <openssl/tls1.h>."""


class Sites:
    """A context that listens for two others, ``a.test`` and ``*.b.test``, all in one VIP."""

    def __init__(
        self, kind: str, version: str | None = None, *, refuses: bool = False, attached: bool = True, drop: bool = False
    ) -> None:
        self.listening = server_context(kind, version, ("listening.test",))
        self.a, self.b = server_context(kind, version, ("a.test",)), server_context(kind, version, ("*.b.test",))
        self.names = NameMap(self.listening, find(self.listening).pointer, refuses=refuses)
        self.port, self.others = DictPort(), DictPort(name="others")
        self.put("a.test", self.a)
        self.put("*.b.test", self.b)
        if attached:
            unclean = "drop" if drop else "keep"
            attach(self.listening, self.port, names=self.names, on_unclean_close=unclean)
            attach(self.a, self.port, on_unclean_close=unclean)
            attach(self.b, self.others, group="others", on_unclean_close=unclean)
            self.names.ports["others"] = self.others
        set_sni_callback(self.listening, NameCallback(self.names, chosen_for))

    def put(self, name: str, context: Any) -> None:
        self.names.put(name, context, find(context).pointer)

    def met(self, name: str | None, **more: Any) -> str:
        """The name of the certificate that a client with this SNI is shown."""
        return shown(ask(self.listening, name, **more))


def ask(context: Any, name: str | None, version: str | None = None) -> StdlibEnd:
    """A handshake with these bytes as server name, which Python's client itself might not send."""
    end = StdlibEnd(client_context(version), server=False)
    if name is not None:
        call_it(end, name)
    shake_hands(end, server_end(context))
    return end


def call_it(client: StdlibEnd, name: str) -> None:
    found = find_connection(client.tls)
    assert found is not None
    library, pointer = found
    library.functions.SSL_ctrl(pointer, _SET_HOST_NAME, 0, ffi.new("char[]", name.encode()))


def shown(client: StdlibEnd) -> str:
    return str(client.tls.getpeercert()["subjectAltName"][0][1])  # type: ignore[index]


def context_of(server: Any) -> Any:
    return server.tls.get_context() if isinstance(server.tls, SSL.Connection) else server.tls.context


# The map


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("A.Test", "a.test"),
        ("a.test.", "a.test"),
        ("*.B.test", "*.b.test"),
        ("localhost", "localhost"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_names_are_kept_as_they_are_compared(name: str, normal: str) -> None:
    assert checked_name(name) == normal


@pytest.mark.parametrize(
    "name", ["", ".", "*", "*.", ".test", "a.*.test", "a*.test", "*a.test", "**.test", "bücher.test", "a" * 256, "a\0b"]
)
def test_what_no_client_can_ask_for_is_no_name(name: str) -> None:
    with pytest.raises(AttachError):
        checked_name(name)


def test_a_wildcard_stands_for_one_label_and_an_exact_name_comes_first() -> None:
    sites = Sites("stdlib", attached=False)
    sites.put("one.b.test", sites.a)
    leads_to = {"one.b.test": sites.a, "two.B.test.": sites.b}
    for name in (*leads_to, "b.test", "x.y.b.test", "*.b.test", ".b.test", "", None):
        named = sites.names.find(name)
        assert (named and named.context) is leads_to.get(name or ""), name


def test_a_context_is_let_go_some_time_after_its_last_name(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = Sites("stdlib", attached=False)
    sites.put("c.test", sites.a)
    pointer, kept = find(sites.a).pointer, weakref.ref(sites.a)
    sites.a = None
    assert sites.names.remove("a.test") is kept()
    assert sites.names.leads_to(pointer)
    sites.put("c.test", sites.b)
    assert not sites.names.leads_to(pointer)
    assert sites.names.context_at(pointer) is kept() is not None, "a handshake may have chosen it"
    later = module.time.monotonic() + module.LEAVING_S
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    sites.names.forget_leaving()
    gc.collect()
    assert kept() is None
    assert sites.names.context_at(pointer) is None
    assert sites.names.remove("a.test") is None


# Connections


ODD = [
    "a.test",
    "A.TEST",
    "a.test.",
    "x.b.test",
    "X.b.TEST.",
    "b.test",
    "x.y.b.test",
    "*.b.test",
    ".b.test",
    "a.test..",
    "listening.test",
    "c",
    "x" * 248 + ".b.test",
]


@by_kind
@pytest.mark.parametrize("attached", [True, False])
def test_the_callbacks_choose_what_the_map_says(kind: str, attached: bool) -> None:
    sites = Sites(kind, attached=attached)
    for name in [*ODD, None]:
        found = sites.names.find(name)
        wanted = {None: "listening.test", sites.a: "a.test", sites.b: "*.b.test"}[found and found.context]
        assert sites.met(name) == wanted, name


@by_kind
@by_version
def test_sessions_resume_under_their_name_only(kind: str, version: str) -> None:
    sites, client = Sites(kind, version), client_context(version)
    sessions = {
        name: visit(sites.listening, client, name=name).session for name in ("a.test", "x.b.test", "listening.test")
    }
    for made, asked in product(sessions, (*sessions, "y.b.test")):
        turn = visit(sites.listening, client, name=asked, session=sessions[made])
        assert turn.resumed == (made == asked), (made, asked)
        if turn.resumed and version == "1.3":
            sessions[made] = turn.session
    assert sites.port.count("fault", "client_hello") == 0
    assert len({*sites.port.store} & {*sites.others.store}) == 0


@by_kind
@by_version
def test_the_connections_python_object_has_the_context_too(kind: str, version: str) -> None:
    sites, client = Sites(kind, version), client_context(version)
    first = visit(sites.listening, client)
    assert context_of(first.server) is sites.a
    again = visit(sites.listening, client, session=first.session)
    assert again.resumed
    assert context_of(again.server) is sites.a
    assert context_of(visit(sites.listening, client, name="c.test").server) is sites.listening


@by_kind
@pytest.mark.parametrize("attached", [True, False])
@pytest.mark.parametrize("name", ["c.test", None])
def test_an_unknown_name_is_refused_where_that_is_said(kind: str, attached: bool, name: str | None) -> None:
    sites = Sites(kind, refuses=True, attached=attached)
    assert sites.met("a.test") == "a.test"
    client, server = StdlibEnd(client_context(), server=False, name=name), server_end(sites.listening)
    client.shake()
    server.feed(client.take())
    with pytest.raises(TLS_ERRORS):
        server.shake()
    client.feed(server.take())
    with pytest.raises(
        ssl.SSLError, match="UNRECOGNIZED_NAME" if attached or kind == "stdlib" else "HANDSHAKE_FAILURE"
    ):
        client.shake()


@by_kind
@pytest.mark.parametrize("refuses", [True, False])
def test_a_second_client_hello_with_another_name_counts(kind: str, refuses: bool) -> None:
    """OpenSSL compares the two in no way (RFC 8446 section 4.1.2 forbids that they differ)."""
    sites = Sites(kind, "1.3", refuses=refuses)
    for context in (sites.listening, sites.a, sites.b):
        if kind == "stdlib":
            context.set_ecdh_curve("secp384r1")
        else:
            from cryptography.hazmat.primitives.asymmetric import ec

            context.set_tmp_ecdh(ec.SECP384R1())
    known = visit(sites.listening, tls := client_context("1.3"), name="a.test").session
    for second, wanted in (
        ("x.b.test", "*.b.test"),
        ("a.test", "a.test"),
        ("c.test", None if refuses else "listening.test"),
    ):
        client, server = StdlibEnd(tls, server=False, name="a.test", session=known), server_end(sites.listening)
        client.shake()
        server.feed(client.take())
        assert not server.shake(), "it asks for another group"
        call_it(client, second)
        client.feed(server.take())
        if wanted is None:
            with pytest.raises(TLS_ERRORS):
                shake_hands(client, server)
            continue
        shake_hands(client, server)
        assert client.resumed == (second == "a.test")
        assert context_of(server) is {"*.b.test": sites.b, "a.test": sites.a, "listening.test": sites.listening}[wanted]


@by_kind
def test_names_change_while_connections_are_open(kind: str) -> None:
    sites, client = Sites(kind), client_context("1.2")
    first = visit(sites.listening, client, close=False)
    sites.names.remove("a.test")
    assert sites.met("a.test") == "listening.test"
    first.server.write(b"still there")
    first.client.feed(first.server.take())
    assert first.client.read() == b"still there"
    sites.put("a.test", sites.b)
    assert sites.met("a.test") == "*.b.test"


@by_kind
def test_a_handshake_keeps_the_context_that_it_has_chosen(kind: str) -> None:
    """Between the two callbacks the name may get another: what resumed must stay where it was allowed to."""
    sites, seen = Sites(kind), []

    def change_first(connection: Any) -> tuple[int, bool]:
        before = chosen_for(connection)
        sites.put("a.test", sites.b)
        seen.append(before)
        return before

    set_sni_callback(sites.listening, NameCallback(sites.names, change_first))
    turn = visit(sites.listening, client_context())
    assert shown(turn.client) == "a.test"
    assert context_of(turn.server) is sites.a
    assert seen == [(find(sites.a).pointer, True)]


@by_kind
def test_a_context_that_left_its_vip_is_chosen_anew_and_shares_nothing(kind: str) -> None:
    sites = Sites(kind)
    attachment = attachment_of(sites.a)
    assert attachment is not None
    attachment.detach()
    client = client_context("1.2")
    first = visit(sites.listening, client)
    assert shown(first.client) == "a.test"
    assert context_of(first.server) is sites.a
    assert not visit(sites.listening, client, session=first.session).resumed
    assert not sites.port.store


@by_kind
def test_without_the_listening_contexts_attachment_names_go_on(kind: str) -> None:
    sites, client = Sites(kind), client_context("1.2")
    session = visit(sites.listening, client).session
    attachment = attachment_of(sites.listening)
    assert attachment is not None
    attachment.detach()
    turn = visit(sites.listening, client, session=session)
    assert not turn.resumed
    assert context_of(turn.server) is sites.a


@by_kind
def test_a_session_that_openssl_drops_is_dropped_where_it_lies(kind: str) -> None:
    sites = Sites(kind, "1.2", drop=True)
    turn = visit(sites.listening, client_context("1.2"), name="x.b.test", close=False)
    assert sites.others.store
    del turn
    gc.collect()
    assert not sites.others.store


@by_kind
def test_our_sni_callback_is_known_from_others(kind: str) -> None:
    sites, plain = Sites(kind, attached=False), server_context(kind)
    assert has_ours(sites.listening)
    assert not has_ours(plain)
    assert sni_callback(plain) is None
    if kind == "stdlib":
        plain.sni_callback = lambda *_: None
        sites.listening.sni_callback = None
    else:
        plain.set_tlsext_servername_callback(lambda _: None)
        sites.listening.set_tlsext_servername_callback(lambda _: None)
    assert sni_callback(plain) is not None
    assert not has_ours(plain)
    assert not has_ours(sites.listening)


class _Kept:
    """In place of a context, where only the map is looked at."""


def test_one_whose_name_comes_and_goes_pushes_out_no_other_that_has_left() -> None:
    names, contexts = NameMap(_Kept(), 1, refuses=False), [_Kept() for _ in range(LEAVING_MAX + 1)]
    names.put("a.test", contexts[0], 100)
    names.remove("a.test")
    for _ in range(2 * LEAVING_MAX):
        names.put("b.test", contexts[1], 101)
        names.remove("b.test")
    assert names.context_at(100) is contexts[0], "a handshake that chose it may be waiting for the interpreter"
    for at, context in enumerate(contexts):
        names.put("c.test", context, 100 + at)
    names.remove("c.test")
    assert [names.context_at(at) for at in (100, 101)] == [None, contexts[1]], "so many are kept"


@by_kind
def test_nothing_keeps_a_listening_context_that_is_gone_and_its_names_go_with_it(kind: str) -> None:
    sites = Sites(kind)
    sites.put("listening.test", sites.listening)
    visit(sites.listening, client_context())
    kept = [weakref.ref(each) for each in (sites.listening, sites.a, sites.names)]
    del sites
    gc.collect()
    assert [ref() for ref in kept] == [None] * 3


@by_kind
def test_names_that_change_under_threads_hurt_no_handshake(kind: str) -> None:
    sites, ends, failed = Sites(kind), threading.Event(), []
    spare = [server_context(kind, names=("a.test",)) for _ in range(4)]
    for each in spare:
        attach(each, sites.port)

    def change() -> None:
        turn = 0
        while not ends.is_set():
            sites.put("a.test", spare[turn % 4])
            sites.put(f"n{turn % 50}.test", spare[turn % 3])
            sites.names.remove(f"n{(turn + 25) % 50}.test")
            turn += 1

    def come() -> None:
        try:
            client, session = client_context("1.2"), None
            for _ in range(40):
                session = visit(sites.listening, client, session=session).session
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    changer, clients = threading.Thread(target=change), [threading.Thread(target=come) for _ in range(3)]
    for thread in (changer, *clients):
        thread.start()
    for thread in clients:
        thread.join()
    ends.set()
    changer.join()
    assert not failed
    assert sites.port.count("fault", "client_hello") == 0
