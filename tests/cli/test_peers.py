"""`peers` shows the other nodes; names from elsewhere can't command the terminal."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import BusyNode, Meshcache


def test_one_line_for_each_peer(meshcache: Meshcache, node: BusyNode, socket: Path) -> None:
    node.peers_plain[0].update(
        state="suspect", rtt_ms=None, last_seen_s=4.0, queue=12, address="10.0.0.2:7946", link="outbound"
    )
    lines = meshcache("peers", "--socket", socket).out.splitlines()
    assert lines[0].split()[:3] == ["peer", "colo", "state"]
    assert lines[1].split() == ["edge-2", "ams1", "suspect", "-", "12", "4.0", "s", "ago", "10.0.0.2:7946", "outbound"]
    assert lines[-1] == "! edge-2 (ams1): suspect, last seen 4.0 s ago"
    assert len(lines) == 1 + 5 + 1


def test_json_is_a_list(meshcache: Meshcache, node: BusyNode, socket: Path) -> None:
    assert json.loads(meshcache("peers", "--json", "--socket", socket).out) == node.peers_plain


def test_a_lone_node_says_so(meshcache: Meshcache, node: BusyNode, socket: Path) -> None:
    node.peers_plain.clear()
    assert "no peers" in meshcache("peers", "--socket", socket).out
    assert json.loads(meshcache("peers", "--json", "--socket", socket).out) == []


def test_a_hostile_name_reaches_the_terminal_without_its_commands(
    meshcache: Meshcache, node: BusyNode, socket: Path
) -> None:
    node.peers_plain[0].update(name="\x1b]0;owned\x07[red]", state="lost")
    out = meshcache("peers", "--socket", socket).out
    assert "\x1b" not in out
    assert "?]0;owned?[red]" in out


def test_workers_of_one_host_are_counted_together(meshcache: Meshcache, socket: Path, node: BusyNode) -> None:
    node.peers_plain[0].update(name="web-1.4f2a9c.w0", host="web-1.4f2a9c")
    node.peers_plain[1].update(name="web-1.4f2a9c.w1", host="web-1.4f2a9c")
    assert "web-1.4f2a9c: 2 of its workers are peers" in meshcache("peers", "--socket", socket).out
