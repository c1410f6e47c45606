"""Sums over the mesh: bounded in time, whoever is silent. The sums themselves are seen in `test_controller`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache.live_policy.mesh_totals import WAIT_S, ask_clocks, ask_policy
from tests.nodes import Place, places


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def test_a_node_that_does_not_answer_costs_a_moment_and_is_named(place: Place) -> None:
    node = place.node("edge-1")
    place.server(node)
    began = time.monotonic()
    total = ask_policy(node.internals.pump, {"edge-1", "edge-9"}, "shop", ["reach"], 0.0)
    assert WAIT_S <= time.monotonic() - began < WAIT_S + 2
    assert total["missing"] == ["edge-1", "edge-9"] or total["missing"] == ["edge-9"]
    assert (total["answered"], total["expected"]) == (1, 2)


def test_a_withdraw_has_the_same_keys_as_a_change_of_policy(place: Place) -> None:
    node = place.node("edge-1")
    place.server(node)
    change = node.policies.set_policy("shop", {"reach": "server"})
    withdraw = node.policies.withdraw(vip="shop")
    assert withdraw["nodes"].keys() == change["nodes"].keys()
    assert (withdraw["nodes"]["differ"], withdraw["nodes"]["have"]) == ([], 1)
    alone = node.policies.set_policy("shop", {"reach": "colo"}, node_only=True)
    assert alone.keys() == change.keys()
    assert (alone["nodes"], alone["superseded"]) == (None, {})


def test_clocks_of_one_machine_agree(place: Place) -> None:
    first, second = place.node("edge-1"), place.node("edge-2")
    for node in (first, second):
        place.server(node)
    place.wait_until_met()
    clocks = ask_clocks(first.internals.pump, {"edge-1", "edge-2"})
    assert set(clocks) == {"edge-2"}
    assert abs(clocks["edge-2"]) < 2
    assert first.policies.clocks().keys() == {"edge-2"}
