"""Whole nodes that start beside others, and how a program waits until they have what those have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache import MeshcacheError, MeshNode
from tests.nodes import Place, places, settings
from tests.support.waiting import PATIENCE_S
from tests.tls.world import client_context, visit


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def test_a_node_that_looks_for_nobody_is_warm_at_once(place: Place) -> None:
    node = place.node("edge-1")
    assert node.wait_warm(0)
    assert node.stats()["node"]["warm"]


@pytest.mark.slow
def test_a_node_is_warm_when_it_has_the_sessions_of_its_peers(place: Place) -> None:
    one = place.node("edge-1")
    made, client = place.server(one), client_context("1.2")
    sessions = [visit(made, client).session for _ in range(20)]
    late = place.node("edge-2")
    found = place.server(late)
    assert not late.warm, "its VIP was served a moment ago"
    assert late.wait_warm(PATIENCE_S)
    assert late.catch_up == (True, "edge-1", 20)
    assert all(visit(found, client, session=session).resumed for session in sessions)


@pytest.mark.slow
def test_where_few_are_to_hold_each_session_a_node_is_warm_when_its_share_is_here(place: Place) -> None:
    vips = [{"name": "shop", "copies": 2}]
    one = place.node("edge-1", vip=vips)
    made, client = place.server(one), client_context("1.2")
    for _ in range(20):
        visit(made, client)
    late = place.node("edge-2", vip=vips)
    place.server(late)
    assert not late.warm
    assert late.wait_warm(PATIENCE_S)
    assert late.stats()["vips"]["shop"]["entries"] == 20


@pytest.mark.slow
async def test_an_event_loop_runs_on_while_it_waits(place: Place) -> None:
    node = place.node("edge-1", mesh={"seeds": ["127.0.0.1:1"]})
    assert not await node.wait_warm_async(0.05)
    waiting = asyncio.create_task(node.wait_warm_async(PATIENCE_S))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await waiting, "who meets nobody is as warm as it gets"


def test_a_node_that_does_not_run_is_never_warm(folder: Path) -> None:
    node = MeshNode(settings(folder))
    with pytest.raises(MeshcacheError, match="start the node first"):
        node.wait_warm(0)
