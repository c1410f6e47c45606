"""Names in questions are checked before they are answered; the answers are seen in `test_controller`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache import MeshNode, PolicyError
from meshcache.live_policy.explanations import session, way
from tests.nodes import settings
from tests.tls.world import ask_clients, server_context


@pytest.fixture
def node(folder: Path) -> Iterator[MeshNode]:
    with MeshNode(settings(folder, vip=[{"name": "shop"}, {"name": "pay"}])) as node:
        kept = [server_context("stdlib"), server_context("stdlib")]
        ask_clients(kept[1], required=False)
        for context, vip in zip(kept, ("shop", "pay"), strict=True):
            node.attach(context, vip=vip)
        yield node


def test_client_certificates_are_spoken_of_where_they_are_asked_for(node: MeshNode) -> None:
    assert way(node.internals.pump, "shop@ams1", "shop@ams1")["notes"] == []
    assert "client_certificates is never" in way(node.internals.pump, "pay@ams1", "pay@ams1")["notes"][0]


@pytest.mark.parametrize("place", ["", "shop", "@ams1", "shop@", "shop@ams2", "x" * 5000 + "@ams1"])
def test_a_place_that_nobody_serves_is_refused(node: MeshNode, place: str) -> None:
    with pytest.raises(PolicyError, match=r"VIP@COLO|nobody serves") as caught:
        way(node.internals.pump, "shop@ams1", place)
    assert len(str(caught.value)) < 500


def test_a_session_that_is_not_here_is_told_so(node: MeshNode) -> None:
    told = session(node.internals.pump, "0123456789ab")
    assert (told["found"], told["session"]) == (False, "0123456789ab")
    assert "no other node was asked" in told["why"]
    assert told["why"].endswith("ask again on the server that made it, and on those that should have it")
