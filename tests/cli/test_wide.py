"""`stats --mesh` shows every node that answers, sums them up, and names those that don't."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache.admin.server import AdminServer
from meshcache.cli import wide
from meshcache.config import AdminSettings
from tests.cli.conftest import BusyNode, Meshcache


def _vip(full: int, local: int, remote: int, missed: int = 0) -> dict[str, Any]:
    ends = {"full": full, "local": local, "remote": remote}
    return {"handshakes": ends, "lookups": {"hit_not_resumed": missed}, "entries": full}


MESH: dict[str, Any] = {
    "nodes": [
        {"name": "edge-1", "colo": "ams1", "vips": {"pay": _vip(4, 0, 0), "shop": _vip(10, 10, 60)}},
        {"name": "edge-4", "colo": "fra1", "vips": {"shop": _vip(16, 0, 0, missed=3)}},
    ],
    "silent": ["edge-5"],
}


class _Policies:
    """Answers for a whole mesh; a node's `policies` has more."""

    def figures(self) -> dict[str, Any]:
        return MESH


class _WideNode(BusyNode):
    policies = _Policies()


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "admin.sock"
    with AdminServer(_WideNode(), AdminSettings(socket=path)):
        yield path


def test_every_vip_of_every_node_has_a_row_and_all_have_a_sum(meshcache: Meshcache, socket: Path) -> None:
    lines = meshcache("stats", "--mesh", "--socket", socket).out.splitlines()
    assert lines[1].split() == ["edge-1", "ams1", "pay", "4", "0.0%", "0.0%", "4"]
    assert lines[2].split() == ["edge-1", "ams1", "shop", "80", "87.5%", "75.0%", "10"]
    assert lines[4].split() == ["all", "100", "70.0%", "60.0%", "30"]
    assert all(len(line) <= 80 for line in lines)


def test_who_did_not_answer_and_what_did_not_resume_is_named(meshcache: Meshcache, socket: Path) -> None:
    out = meshcache("stats", "--mesh", "--socket", socket).out
    assert "! edge-5: no answer in time" in out
    assert "! edge-4: shop: 3 lookups hit and did not resume" in out


def test_json_is_what_the_node_says(meshcache: Meshcache, socket: Path) -> None:
    assert json.loads(meshcache("stats", "--mesh", "--json", "--socket", socket).out) == MESH


def test_one_vip_leaves_out_the_others_and_nodes_without_it(meshcache: Meshcache, socket: Path) -> None:
    shown = json.loads(meshcache("stats", "--mesh", "--vip", "pay", "--json", "--socket", socket).out)
    assert [(node["name"], list(node["vips"])) for node in shown["nodes"]] == [("edge-1", ["pay"])]
    ended = meshcache("stats", "--mesh", "--vip", "sohp", "--socket", socket)
    assert ended.code == 2
    assert "pay, shop" in ended.err


def test_a_screen_that_is_too_small_says_how_much_is_missing() -> None:
    assert len(str(wide._screen(MESH, [], 24)).split("\n")) == 1 + 4 + 2 + 1
    small = str(wide._screen(MESH, ["no answer"], 6)).split("\n")
    assert any("more" in line for line in small)
    assert len(small) <= 7
