"""Nodes that share a store, a real redis-server: whose sessions resume where, and what they do when it fails."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import valkey
from OpenSSL import SSL

from meshcache import MeshNode
from tests.nodes import Place, places
from tests.support.store import StoreServer
from tests.support.waiting import wait_until
from tests.tls.world import StdlibEnd, client_context, server_context, server_end, shake_hands, visit


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreServer]:
    server = StoreServer(tmp_path)
    yield server
    server.stop()  # frozen or not


def start(
    place: Place, store: StoreServer, name: str, reach: str = "colo", wait_ms: int = 1000
) -> tuple[MeshNode, Any]:
    """A node whose memory has room for one session, apart from all others but for the store."""
    node = place.node(
        name,
        mesh={"seeds": []},
        cache={"max_sessions": 1},
        sharing={"reach": reach},
        tier={"valkey": {"url": store.url, "wait_ms": wait_ms}},
    )
    context = node.attach(server_context("pyopenssl", "1.2"), vip="shop", pauses=True)
    wait_until(lambda: is_ready(node), what="the store can be asked")
    return node, context


def is_ready(node: MeshNode) -> bool:
    (told,) = node.stats()["tiers"]
    return told["open"] and not told["resting"] and bool(told["counts"].get("calls"))


def faults(node: MeshNode) -> int:
    """How often the store couldn't be written or read."""
    count: int = node.stats()["tiers"][0]["counts"].get("raised", 0)
    return count


def written(node: MeshNode) -> int:
    count: int = node.stats()["tiers"][0]["counts"].get("written", 0)
    return count


def leave_memory(node: MeshNode, context: Any, client: Any) -> Any:
    """Make a session for a client, and let another's push it out into the store."""
    before = written(node)
    session = visit(context, client).session
    node.stats()  # what was made is filed
    visit(context, client_context("1.2"))
    wait_until(lambda: written(node) > before, what="it is in the store")
    return session


def refused_after_a_try(node: MeshNode, context: Any, client: Any, session: Any) -> dict[str, int]:
    """What the gates kept out, after the client came with a session that doesn't resume here."""
    assert not comes_back(node, context, client, session)
    refused: dict[str, int] = node.stats()["vips"]["shop"]["sessions"]["refused"]
    return refused


def comes_back(node: MeshNode, context: Any, client: Any, session: Any) -> bool:
    """Whether the client resumes; the server's handshake waits for as long as it is told to."""
    end, server = StdlibEnd(client, server=False, name="a.test", session=session), server_end(context)
    end.shake()
    server.feed(end.take())
    try:
        server.tls.do_handshake()
    except SSL.Error:
        lookup = node.paused(server.tls)
        while lookup is not None and (until := lookup.go_on()) is not None:
            time.sleep(min(max(until - time.monotonic(), 0), 0.001))
    shake_hands(end, server)
    return bool(server.resumed)


def test_another_node_resumes_it_where_its_reach_allows_that(place: Place, store: StoreServer) -> None:
    one, shop = start(place, store, "edge-1")
    two, other = start(place, store, "edge-2")
    client = client_context("1.2")
    session = leave_memory(one, shop, client)
    wait_until(lambda: comes_back(two, other, client, session), what="it resumes, on a machine that may be busy")
    assert two.stats()["vips"]["shop"]["lookups"]["remote"] == 1
    wait_until(lambda: comes_back(one, shop, client, session), what="where it was made it resumes, too")


def test_what_lies_there_resumes_no_further_than_todays_policy_allows(place: Place, store: StoreServer) -> None:
    """A reach that was narrowed since, or a server whose own is narrower, and a store that has it all the same."""
    one, shop = start(place, store, "edge-1")
    two, other = start(place, store, "edge-2", "server")
    client = client_context("1.2")
    session = leave_memory(one, shop, client)
    refused = wait_until(lambda: refused_after_a_try(two, other, client, session), what="the store answers")
    assert set(refused) == {"receiver_reach"}
    wait_until(lambda: comes_back(one, shop, client, session), what="where it was made it resumes")


def test_what_stays_on_its_server_never_lies_in_the_store(place: Place, store: StoreServer) -> None:
    """Whoever has the mesh key and the store's password reads all that lies there, whatever a reach says."""
    node, shop = start(place, store, "edge-1", "server")
    for _ in range(5):
        visit(shop, client_context("1.2"))
    tiering = node.internals.pump.core.tiering
    wait_until(lambda: node.stats()["vips"]["shop"]["entries"] == 1 and not tiering.waiting, what="four were evicted")
    node.close()  # all is written that is to be
    with valkey.Valkey(port=store.port) as raw:
        assert raw.dbsize() == 0


@pytest.mark.parametrize("what", ["of another session", "of another mesh", "of a newer version"])
def test_a_store_that_answers_with_anothers_value_resumes_nobody(place: Place, store: StoreServer, what: str) -> None:
    node, shop = start(place, store, "edge-1")
    clients = [client_context("1.2") for _ in range(2)]
    sessions = [leave_memory(node, shop, client) for client in clients]
    with valkey.Valkey(port=store.port) as raw:
        wait_until(lambda: raw.dbsize() == 3, what="both are there, and that of a client between them")
        keys = raw.keys("meshcache:test:*")
        values = raw.mget(keys)
        bad = {
            "of another session": values[1:] + values[:1],
            "of another mesh": [bytes((each[0],)) + os.urandom(len(each) - 1) for each in values],
            "of a newer version": [bytes((each[0] + 1,)) + each[1:] for each in values],
        }[what]
        raw.mset(dict(zip(keys, bad, strict=True)))
        reason = {"of another session": "forged", "of another mesh": "key", "of a newer version": "version"}[what]

        def is_refused() -> bool:
            """On a busy machine the store may be asked too late the first time."""
            assert not any(comes_back(node, shop, *each) for each in zip(clients, sessions, strict=True))
            return bool(node.stats()["tiers"][0]["counts"].get(f"refused_{reason}", 0) >= 2)

        wait_until(is_refused, what="both are refused")
        wait_until(
            lambda: len(set(raw.mget(keys)) & set(bad)) == 1, what="they are removed, and what nobody met is left"
        )


def test_a_session_that_is_withdrawn_by_name_is_taken_out_of_the_store(place: Place, store: StoreServer) -> None:
    one, shop = start(place, store, "edge-1")
    two, other = start(place, store, "edge-2")
    client = client_context("1.2")
    session = leave_memory(one, shop, client)
    with valkey.Valkey(port=store.port) as raw:
        keys = set(raw.keys("meshcache:test:*"))
        wait_until(lambda: comes_back(two, other, client, session), what="another node has it in memory, too")
        pump = two.internals.pump
        with pump.lock:
            assert pump.core.withdraw_session("shop", session.id, pump.clock())
        wait_until(lambda: len(keys & set(raw.keys("meshcache:test:*"))) < len(keys), what="the store has it no more")
    assert not comes_back(one, shop, client, session), "whose memory had lost it, and who wasn't told"


def test_a_store_that_freezes_dies_and_comes_back_empty_fails_no_handshake(place: Place, store: StoreServer) -> None:
    node, shop = start(place, store, "edge-1", wait_ms=50)
    client = client_context("1.2")
    session = leave_memory(node, shop, client)
    wait_until(lambda: comes_back(node, shop, client, session), what="the store answers in time")
    session = leave_memory(node, shop, client)
    store.freeze()
    assert not comes_back(node, shop, client, session)
    asked = node.stats()["vips"]["shop"]["lookups"]["asked"]["tier"]
    for _ in range(20):
        assert not comes_back(node, shop, client, session)
    later = node.stats()["vips"]["shop"]["lookups"]["asked"]["tier"]
    assert sum(later.values()) - sum(asked.values()) <= 1, "after the first nobody waits for it"
    store.thaw()  # what it was asked may be answered yet, and is filed then
    wait_until(lambda: comes_back(node, shop, client, session), what="it has what it had before")
    session = leave_memory(node, shop, client)
    before = faults(node)
    store.stop()
    for _ in range(5):
        assert not comes_back(node, shop, client, session)
    wait_until(lambda: faults(node) > before, what="it is gone, and that is noticed")
    store.start()
    wait_until(lambda: is_ready(node), what="it is well again")
    assert not comes_back(node, shop, client, session), "it has come back empty"

    def resumes() -> bool:
        again = leave_memory(node, shop, client)
        return comes_back(node, shop, client, again)

    wait_until(resumes, what="what is written from then on is found")
