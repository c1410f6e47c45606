"""`policy show` prints what holds on a node, VIP by VIP."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import BusyNode, Meshcache


def test_one_line_for_each_vip(meshcache: Meshcache, socket: Path) -> None:
    lines = meshcache("policy", "show", "--socket", socket).out.splitlines()
    assert lines[1].split() == ["shop", "storefront", "ams1,fra1", "-", "-", "1h00m", "1d00h", "-"]
    assert lines[2].split() == ["pay", "pay", "colo", "never", "-", "-", "-", "2.0", "MiB"]


def test_json_is_a_list(meshcache: Meshcache, node: BusyNode, socket: Path) -> None:
    assert json.loads(meshcache("policy", "show", "--json", "--socket", socket).out) == node.policy()
