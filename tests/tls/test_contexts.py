from __future__ import annotations

import gc
import os
import socket
import ssl
import threading
import weakref
from typing import Any

import pytest
from OpenSSL import SSL

from meshcache.core.policy.scope import Names
from meshcache.errors import AttachError
from meshcache.tls import contexts
from meshcache.tls.contexts import Attachment, attach_context, resumption
from meshcache.tls.install import uninstall
from meshcache.tls.scopes import scopes_for
from tests.tls.world import (
    KINDS,
    VERSIONS,
    DictPort,
    StdlibEnd,
    attach,
    client_context,
    give_certificate,
    resident_bytes,
    server_certificate,
    server_context,
    server_end,
    shake_hands,
    visit,
)

pytestmark = pytest.mark.usefixtures("hot_path")

SCOPES = scopes_for(Names(("a.test",)), bytes(32))

keeps_what_was_freed = pytest.mark.skipif(
    "MESHCACHE_SANITIZED" in os.environ, reason="the sanitizer keeps what was freed for a while"
)

by_kind = pytest.mark.parametrize("kind", KINDS)
by_version = pytest.mark.parametrize("version", VERSIONS)


def attachments() -> int:
    gc.collect()  # those of tests before, which may be kept by a cycle
    return sum(len(callbacks) for callbacks in contexts._callbacks.values())


@by_kind
@by_version
def test_one_ticket_is_made_for_a_full_handshake_and_one_for_each_renewal(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    first = visit(context, client)
    assert len(port.made) == 1
    second = visit(context, client, session=first.session)
    assert len(port.made) == (1 if version == "1.2" else 2)
    assert port.made[0][1:] == (0, False, 0x0303 if version == "1.2" else 0x0304)
    if version == "1.3":
        assert port.made[1][1] == resumption(second.server.tls) != 0, "the renewal's lineage is the session's"


@by_kind
def test_a_chain_of_renewals_carries_its_token_all_along(kind: str) -> None:
    port, client = DictPort(), client_context("1.3")
    context = server_context(kind, "1.3")
    attach(context, port)
    session = visit(context, client).session
    for _ in range(25):
        turn = visit(context, client, session=session)
        assert turn.resumed
        session = turn.session
    tokens = [token for _, token, _, _ in port.made]
    assert len(tokens) == 26
    assert tokens[0] == 0
    assert 0 not in tokens[1:]


@keeps_what_was_freed
@pytest.mark.slow
@by_kind
def test_a_context_for_each_connection_leaves_nothing_behind(kind: str) -> None:
    """As gunicorn does it. 400 handshakes with a new context each, one in two resumed.

    A session that stays takes 1 KB, a context many.
    """
    port, client = DictPort(), client_context("1.2")
    gc.collect()
    before, resident = attachments(), 0
    session = None
    for number in range(400):
        context = server_context(kind, "1.2")
        attach(context, port)
        turn = visit(context, client, session=session if number % 2 else None)
        assert turn.resumed == bool(number % 2)
        if session is None:
            session, kept = turn.session, dict(port.store)
        port.store = dict(kept)
        for grown in (port.own, port.log, port.made):
            grown.clear()
        if number == 100:
            gc.collect()
            resident = resident_bytes()
    del context, turn
    gc.collect()
    assert attachments() == before
    assert resident_bytes() - resident < 200 * 1024


@keeps_what_was_freed
@pytest.mark.slow
@by_kind
@pytest.mark.parametrize("spoil", [None, b"", b"tail"])
def test_sessions_that_were_looked_up_do_not_pile_up(kind: str, spoil: bytes | None) -> None:
    """Resumed, made anew or refused: a session that nobody frees takes about 1 KB."""
    port, client = DictPort(), client_context("1.2")
    context = server_context(kind, "1.2")
    attach(context, port)
    first = visit(context, client)
    ((session_id, der),) = port.store.items()
    session = None if spoil is None else first.session
    resident = 0
    for number in range(500):
        port.store = {session_id: der + (spoil or b"")}
        turn = visit(context, client, session=session)
        assert turn.resumed == (spoil == b"")
        port.log, port.made, port.own = [], [], set()
        if number == 100:
            resident = resident_bytes()
    assert resident_bytes() - resident < 250 * 1024


@by_kind
@by_version
def test_threads_share_a_context_and_every_return_resumes(kind: str, version: str) -> None:
    port = DictPort()
    context = server_context(kind, version)
    attach(context, port)
    resumed: list[bool] = []

    def visitor() -> None:
        client = client_context(version)
        session = visit(context, client).session
        for _ in range(20):
            turn = visit(context, client, session=session)
            session = turn.session
            resumed.append(turn.resumed)

    threads = [threading.Thread(target=visitor) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert resumed == [True] * 160
    assert not [event for event in port.log if event[0] in ("fault", "unusable", "hit_not_resumed")]


@by_kind
@by_version
def test_after_detach_nothing_is_found_or_kept(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attachment = attach(context, port)
    first = visit(context, client)
    assert attachment.attached
    attachment.detach()
    attachment.detach()
    assert not attachment.attached
    port.log.clear()
    assert not visit(context, client, session=first.session).resumed
    assert port.log == []


@by_kind
def test_a_handshake_under_way_at_detach_ends_in_a_full_one(kind: str) -> None:
    port, client = DictPort(), client_context("1.2")
    context = server_context(kind, "1.2")
    attachment = attach(context, port)
    server, end = server_end(context), StdlibEnd(client, server=False, name="a.test")
    end.shake()
    server.feed(end.take())
    server.shake()
    attachment.detach()
    end.feed(server.take())
    shake_hands(end, server)
    assert port.store == {}


@by_kind
def test_a_context_can_be_attached_again_to_its_vip_and_to_no_other(kind: str) -> None:
    context = server_context(kind)
    first = attach(context, DictPort(name="shop"))
    with pytest.raises(AttachError, match="attached to VIP 'shop' already"):
        attach(context, DictPort(name="bank"))
    second = attach(context, DictPort(name="shop"))
    assert (first.attached, second.attached) == (False, True)
    second.detach()
    assert attach(context, DictPort(name="bank")).attached


@by_kind
@by_version
def test_new_scopes_hold_for_the_next_handshake(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attachment = attach(context, port)
    first = visit(context, client)
    attachment.scopes = scopes_for(Names(("a.test",)), b"another digest")
    assert not visit(context, client, session=first.session).resumed


@by_kind
def test_a_context_that_ends_while_it_gets_new_scopes_leaves_nothing_at_its_address(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last reference to it goes on whatever thread, also after it was seen to be there."""
    held, before = [server_context(kind)], attachments()
    attachment = attach(held[0], DictPort())
    is_attached = Attachment.attached.fget  # type: ignore[attr-defined]

    def look_and_let_go(self: Attachment) -> bool:
        answer = bool(is_attached(self))
        held.clear()
        gc.collect()
        return answer

    monkeypatch.setattr(Attachment, "attached", property(look_and_let_go))
    attachment.scopes = scopes_for(Names(("a.test",)), b"another digest")
    assert attachments() == before


@by_kind
def test_a_context_that_is_detached_while_it_gets_new_scopes_stays_so(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, before = server_context(kind), attachments()
    attachment = attach(context, DictPort(name="shop"))
    is_attached = Attachment.attached.fget  # type: ignore[attr-defined]

    def look_and_detach(self: Attachment) -> bool:
        answer = bool(is_attached(self))
        self.detach()
        return answer

    with monkeypatch.context() as patched:  # not undo(), which ends what a fixture has patched as well
        patched.setattr(Attachment, "attached", property(look_and_detach))
        attachment.scopes = scopes_for(Names(("a.test",)), b"another digest")
    assert attachments() == before
    attach(context, DictPort(name="bank"))


@by_kind
def test_a_context_lives_for_as_long_as_it_takes_to_detach_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its SSL_CTX is written to meanwhile."""
    held = [server_context(kind)]
    attachment, alive = attach(held[0], DictPort()), weakref.ref(held[0])

    def let_go_and_uninstall(*given: Any) -> None:
        held.clear()
        gc.collect()
        assert alive() is not None
        uninstall(*given)

    monkeypatch.setattr(contexts, "uninstall", let_go_and_uninstall)
    attachment.detach()
    gc.collect()
    assert alive() is None


@by_kind
def test_the_lifetime_is_told_to_openssl(kind: str) -> None:
    port = DictPort()
    context = server_context(kind, "1.3")
    attach(context, port, lifetime_s=1234)
    client = client_context("1.3")
    assert visit(context, client).session.ticket_lifetime_hint == 1234


@by_kind
def test_a_connection_of_a_context_that_is_gone_finds_nothing(kind: str) -> None:
    """In pyOpenSSL a connection can be moved to another context, and its first one freed, while OpenSSL uses it."""
    port, client = DictPort(), client_context("1.2")
    context, other = server_context(kind, "1.2"), server_context(kind, "1.2")
    attach(context, port)
    server = server_end(context)
    if isinstance(server.tls, SSL.Connection):
        server.tls.set_context(other)
    else:
        server.tls.context = other
    before = attachments()
    del context
    gc.collect()
    assert attachments() < before
    shake_hands(StdlibEnd(client, server=False, name="a.test"), server)
    assert port.log == []


def test_resumption_is_told_for_a_socket_and_is_0_for_everything_else() -> None:
    port, client = DictPort(), client_context("1.2")
    context = server_context("stdlib", "1.2")
    attach(context, port)
    session = visit(context, client).session
    near, far = socket.socketpair()
    answers: list[int] = []

    def serve() -> None:
        with context.wrap_socket(far, server_side=True) as tls:
            answers.append(resumption(tls))
            tls.sendall(b"x")
        answers.append(resumption(tls))

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(near, server_hostname="a.test", session=session) as tls:
        assert tls.recv(1) == b"x"
    thread.join(60)
    assert answers[0] != 0
    assert answers[1] == 0, "closed"
    unattached = server_end(server_context("pyopenssl"))
    for thing in (unattached.tls, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), object(), None):
        assert resumption(thing) == 0


def test_what_is_no_context_is_refused() -> None:
    for thing in (object(), None, SSL.Connection, "context"):
        with pytest.raises(AttachError, match=r"an OpenSSL.SSL.Context or an ssl.SSLContext"):
            attach_context(thing, DictPort(), SCOPES)


def test_an_unknown_word_for_unclean_closes_is_refused() -> None:
    word: Any = "sometimes"
    with pytest.raises(AttachError, match='"keep" or "drop"'):
        attach_context(server_context("stdlib"), DictPort(), SCOPES, on_unclean_close=word)


def test_a_subclass_of_sslcontext_is_attached_too() -> None:
    class Context(ssl.SSLContext):
        pass

    port, client = DictPort(), client_context()
    context = Context(ssl.PROTOCOL_TLS_SERVER)
    give_certificate(context, server_certificate("a.test"))
    attach(context, port)
    first = visit(context, client)
    assert visit(context, client, session=first.session).resumed
