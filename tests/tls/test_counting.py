"""Lookups, hits and handshakes of one visit agree, however often its client offers what it has."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from meshcache.core.policy.gates import Verdict
from meshcache.tls import contexts, libssl
from meshcache.tls.functions import ffi
from tests.tls.world import (
    KINDS,
    LOCAL,
    TLS_ERRORS,
    DictPort,
    StdlibEnd,
    attach,
    client_context,
    server_context,
    server_end,
    shake_hands,
    visit,
)

pytestmark = [pytest.mark.usefixtures("hot_path"), pytest.mark.parametrize("kind", KINDS)]

_SET_GROUPS_LIST = 92
"""SSL_CTRL_SET_GROUPS_LIST of <openssl/ssl.h>."""


def serve(kind: str, port: DictPort, *, again: bool, version: str = "1.3") -> Any:
    """An attached server; with `again` its clients, who send a share for X25519, are asked to say hello again."""
    context = server_context(kind, version)
    if again:
        found = libssl.find(context)
        groups = ffi.new("char[]", b"P-384")
        assert found.library.functions.SSL_CTX_ctrl(found.pointer, _SET_GROUPS_LIST, 0, groups) == 1
    attach(context, port)
    return context


def counted(port: DictPort) -> list[tuple[Any, ...]]:
    """What the port was told to count; what it found or made for it is no count."""
    told = [event for event in port.log if event[0] not in ("hit", "miss", "created")]
    port.log.clear()
    return told


@pytest.mark.parametrize("again", [False, True])
def test_a_visit_counts_one_lookup(kind: str, again: bool) -> None:
    port, client = DictPort(), client_context("1.3")
    context = serve(kind, port, again=again)
    first = visit(context, client)
    assert counted(port) == [("full",)], "and no lookup where nothing was offered"
    second = visit(context, client, session=first.session)
    assert second.resumed
    assert port.count("hit") == 1 + again
    assert counted(port) == [("resumed", LOCAL)]
    port.store.clear()
    assert not visit(context, client, session=second.session).resumed
    assert counted(port) == [("full",), ("missed",)]


@pytest.mark.parametrize("again", [False, True])
def test_a_visit_that_is_refused_counts_one_refusal(kind: str, again: bool) -> None:
    port, client = DictPort(), client_context("1.3")
    context = serve(kind, port, again=again)
    first = visit(context, client)
    port.find = lambda _id: Verdict.LINEAGE  # type: ignore[method-assign]
    counted(port)
    assert not visit(context, client, session=first.session).resumed
    assert counted(port) == [("lookup_refused", Verdict.LINEAGE), ("full",)]
    assert not visit(context, client, name="elsewhere.test", session=first.session).resumed
    refused = Verdict.NAME_CLASS
    assert counted(port) == [("lookup_refused", refused), ("full",), ("session_refused", refused)]


@pytest.mark.parametrize("again", [False, True])
def test_a_visit_that_asks_for_more_than_its_context_counts_one_refusal(kind: str, again: bool) -> None:
    port, client = DictPort(), client_context("1.3")
    context = serve(kind, port, again=again)
    first = visit(context, client)
    library, pointer = libssl.find(context)
    attachment = contexts._callbacks[library].state.attachments[pointer]
    attachment.verify_mode = 3
    counted(port)
    assert not visit(context, client, session=first.session).resumed
    refused = Verdict.SETTINGS_DIFFER
    assert counted(port) == [("lookup_refused", refused), ("full",), ("session_refused", refused)]


@pytest.mark.parametrize("again", [False, True])
def test_a_visit_with_an_unusable_session_counts_one_refusal(kind: str, again: bool) -> None:
    port, client = DictPort(), client_context("1.3")
    context = serve(kind, port, again=again)
    first = visit(context, client)
    (session_id,) = port.store
    port.store[session_id] = b"junk"
    counted(port)
    assert not visit(context, client, session=first.session).resumed
    assert counted(port) == [("unusable", Verdict.DER), ("full",)]


@pytest.mark.parametrize("again", [False, True])
def test_who_offers_a_session_and_cannot_prove_it_has_it_counts_as_no_hit(kind: str, again: bool) -> None:
    """The binder fails, which is fatal: 0.1.0 counted 28,578 of such tries as hits."""
    port, client = DictPort(), client_context("1.3")
    context = serve(kind, port, again=again)
    first = visit(context, client)
    ((seen, der),) = port.store.items()
    visit(context, client)
    (other,) = set(port.store) - {seen}
    port.store[seen] = port.store[other].replace(other, seen)
    counted(port)
    for _ in range(3):
        with pytest.raises(TLS_ERRORS), suppress(AssertionError):
            shake_hands(StdlibEnd(client, server=False, name="a.test", session=first.session), server_end(context))
        assert counted(port) == []
    port.store[seen] = der
    assert visit(context, client, session=first.session).resumed, "and nothing is burnt by it"


def test_in_tls_12_a_hit_counts_when_openssl_gets_it(kind: str) -> None:
    port, client = DictPort(), client_context("1.2")
    context = serve(kind, port, again=False, version="1.2")
    first = visit(context, client)
    counted(port)
    assert visit(context, client, session=first.session).resumed
    assert counted(port) == [("resumed", LOCAL)]
    port.store.clear()
    assert not visit(context, client, session=first.session).resumed
    assert counted(port) == [("full",), ("missed",)]


def test_further_tickets_of_a_resumption_count_nothing(kind: str) -> None:
    port, client = DictPort(), client_context("1.3")
    context = serve(kind, port, again=False)
    first = visit(context, client)
    counted(port)
    found = libssl.find(context)
    found.library.functions.SSL_CTX_set_num_tickets(found.pointer, 3)
    assert visit(context, client, session=first.session).resumed
    assert counted(port) == [("resumed", LOCAL)]
