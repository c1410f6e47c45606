"""What a node answers about contexts before it runs, and what its counters for one VIP count; joining and the rest of
counting are tested with real handshakes elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache import MeshcacheError, MeshNode, Outcome
from meshcache.tls.libssl import find_connection
from tests.nodes import Place, places, settings
from tests.support.hot_paths import hot_path
from tests.tls.world import client_context, server_context, visit

__all__ = ["hot_path"]

NONE = {"full": 0, "local": 0, "remote": 0, "pulled": 0, "failed": 0}


class Stated:
    """A connection that has the address of its ``SSL *``, as the bundled server's have."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        found = find_connection(connection)
        self.ssl_address = 0 if found is None else found.pointer


# A class says that its connections have one.
Stated.ssl_address = 0  # type: ignore[attr-defined]


@pytest.fixture
def place(folder: Path, hot_path: str) -> Iterator[Place]:
    yield from places(folder)


def test_contexts_join_only_while_the_node_runs(folder: Path) -> None:
    node = MeshNode(settings(folder))
    with pytest.raises(MeshcacheError, match="start the node first"):
        node.attach(server_context("stdlib"), vip="shop")
    context = server_context("stdlib")
    assert node.attach(context, vip="shop", required=False) is context
    assert node.left_out == {"new": 1}
    assert not node.detach(context)


def test_what_is_no_connection_resumed_nothing(folder: Path) -> None:
    told = MeshNode(settings(folder)).resumption(object())
    assert (told.outcome, told.origin, told.server_name, told.lineage) == (Outcome.FULL, None, None, None)


@pytest.mark.parametrize("stated", [True, False])
def test_a_counter_counts_each_handshake_once_by_how_it_ended(place: Place, stated: bool) -> None:
    node, client = place.node("edge-1"), client_context("1.2")
    context = place.server(node, kind="pyopenssl")
    count = node.handshake_counter("shop")
    first = visit(context, client, close=False)
    for session in (None, first.session, first.session):
        seen = visit(context, client, session=session, close=False)
        count(Stated(seen.server.tls) if stated else seen.server.tls)
    assert node.stats()["vips"]["shop"]["handshakes"] == {**NONE, "full": 2, "local": 2}
    assert node.stats()["vips"]["shop"]["handshakes"] == {**NONE, "full": 2, "local": 2}, "reading adds nothing"
    node.detach(context)
    count(Stated(seen.server.tls) if stated else seen.server.tls)
    assert node.stats()["vips"]["shop"]["handshakes"]["full"] == 2


def test_a_counter_is_told_of_what_is_no_connection(place: Place) -> None:
    node = place.node("edge-1")
    place.server(node, kind="pyopenssl")
    node.handshake_counter("shop")(object())
    assert node.stats()["vips"]["shop"]["handshakes"] == NONE
