"""`stats` prints what the node said: one JSON object for programs, a few lines for people."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import BusyNode, Meshcache


def test_json_is_the_nodes_own_object(meshcache: Meshcache, node: BusyNode, socket: Path) -> None:
    ended = meshcache("stats", "--json", "--socket", socket)
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == json.loads(json.dumps(node.stats()))


def test_people_get_lines_of_80_columns_without_colours_in_a_pipe(
    meshcache: Meshcache, node: BusyNode, socket: Path
) -> None:
    node.lose("edge-4")
    out = meshcache("stats", "--socket", socket).out
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in out
    assert lines[0] == "node edge-1  colo ams1  up 1m00s  members 5/6 (ams1 3, fra1 2)"
    assert [line.split()[0] for line in lines[1:5]] == ["VIP", "shop", "checkout", "pay"]
    assert "! edge-4 (fra1): lost, last seen 31s ago" in lines


def test_one_vip_can_be_picked(meshcache: Meshcache, socket: Path) -> None:
    ended = meshcache("stats", "--json", "--vip", "pay", "--socket", socket)
    assert list(json.loads(ended.out)["vips"]) == ["pay"]


def test_an_unknown_vip_is_misuse_and_the_nearest_is_named(meshcache: Meshcache, socket: Path) -> None:
    ended = meshcache("stats", "--vip", "shp", "--socket", socket)
    assert ended.code == 2
    assert 'node edge-1 has no VIP "shp"; did you mean "shop"?' in ended.err
    assert "it has shop, checkout, pay" in meshcache("stats", "--vip", "zzz", "--socket", socket).err


def test_watching_without_a_terminal_is_misuse(meshcache: Meshcache, socket: Path) -> None:
    ended = meshcache("stats", "--watch", "--socket", socket)
    assert ended.code == 2
    assert "--watch needs a terminal" in ended.err
