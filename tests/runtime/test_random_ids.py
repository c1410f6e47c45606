"""Ids that nobody made, offered to a node that would wait and fetch: none of them causes a message.

``make security`` offers 50,000, ``make test`` a tenth.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from meshcache import MeshNode
from tests.nodes import Place, places
from tests.support.waiting import wait_until
from tests.tls.world import StdlibEnd, client_context, server_context, server_end, visit

IDS = int(os.environ.get("MESHCACHE_IDS", "5000"))
VIP = {"name": "shop", "tickets": 1, "await_ms": 1000, "fetch": "reach", "fetch_ms": 1000}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


def for_handshakes(node: MeshNode) -> dict[str, int]:
    """The messages of a kind that a lookup could cause; signs of life and comparisons go on by the clock."""
    kinds = node.stats()["gossip"]["sent"]["kinds"]
    return {kind: count for kind, count in kinds.items() if "pull" in kind or "push" in kind or "fetch" in kind}


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_flood_of_random_ids_causes_no_message_and_no_wait(place: Place, version: str) -> None:
    first, second = (place.node(name, vip=[VIP]) for name in ("edge-1", "edge-2"))
    there = place.server(first, version=version)
    context = second.attach(server_context("pyopenssl", version), vip="shop", pauses=True)
    place.wait_until_met()
    client = client_context(version)
    session = visit(there, client).session
    wait_until(lambda: second.stats()["cache"]["entries"], what="the copy has come")
    (ours,) = second.internals.pump.core.session_ids("shop")
    end = StdlibEnd(client, server=False, name="a.test", session=session)
    end.shake()
    hello = end.take()
    assert hello.count(ours) == 1
    before = for_handshakes(second)
    paused = 0
    for _ in range(IDS):
        server = server_end(context)
        server.feed(hello.replace(ours, os.urandom(32)))
        try:
            server.tls.do_handshake()
        except SSL.Error:
            paused += second.paused(server.tls) is not None
    assert paused == 0
    assert for_handshakes(second) == before
    assert second.stats()["vips"]["shop"]["lookups"]["asked"] == {}
    assert not second.internals.pump.core.awaiting
    assert len(second.internals.pump.core.pulling) == 0
