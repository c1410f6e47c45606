"""`events` lists what happened on a node, follows it over a restart, and lets no name command the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache.admin.server import AdminServer
from meshcache.config import AdminSettings
from tests.cli.conftest import BusyNode, Meshcache


def _event(seq: int, text: str, level: str = "info") -> dict[str, Any]:
    return {"seq": seq, "at_s": 64.2, "kind": "K", "level": level, "node": "n", "colo": "c", "text": text}


@pytest.fixture
def node() -> BusyNode:
    node = BusyNode()
    node.uptime_s = 100.0
    node.log = [_event(1, "edge-2 joined"), _event(2, "edge-2 lost", "warning")]
    return node


@pytest.fixture
def follower(socket: Path) -> Iterator[subprocess.Popen[str]]:
    """`meshcache events --follow --json`, as a program would read it."""
    command = [sys.executable, "-m", "meshcache", "events", "--follow", "--json", "--socket", str(socket)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        yield process
        process.kill()


def test_events_are_listed_with_warnings_marked(meshcache: Meshcache, node: BusyNode, socket: Path) -> None:
    lines = meshcache("events", "--socket", socket).out.splitlines()
    assert [line.split() for line in lines] == [["1m04s", "edge-2", "joined"], ["1m04s", "!", "edge-2", "lost"]]


def test_json_is_the_list_that_the_node_has(meshcache: Meshcache, node: BusyNode, socket: Path) -> None:
    assert json.loads(meshcache("events", "--json", "--socket", socket).out) == node.log


def test_a_node_to_which_nothing_happened_says_so(meshcache: Meshcache, node: BusyNode, socket: Path) -> None:
    node.log.clear()
    assert "no events" in meshcache("events", "--socket", socket).out


def test_a_hostile_text_reaches_the_terminal_without_its_commands(
    meshcache: Meshcache, node: BusyNode, socket: Path
) -> None:
    node.log[0]["text"] = "\x1b]0;owned\x07 joined"
    assert "\x1b]" not in meshcache("events", "--socket", socket).out


def test_following_shows_what_happens_later_and_goes_on_with_a_node_that_began_anew(
    node: BusyNode, socket: Path, follower: subprocess.Popen[str]
) -> None:
    assert follower.stdout is not None
    assert [json.loads(follower.stdout.readline())["seq"] for _ in range(2)] == [1, 2]
    node.log.append(_event(3, "edge-2 heard again"))
    assert json.loads(follower.stdout.readline())["seq"] == 3
    node.uptime_s, node.log[:] = 1.0, [_event(1, "edge-3 joined")]
    assert json.loads(follower.stdout.readline())["text"] == "edge-3 joined"


def test_following_outlasts_a_node_that_is_away(
    node: BusyNode, tmp_path: Path, socket: Path, follower: subprocess.Popen[str], request: pytest.FixtureRequest
) -> None:
    assert follower.stdout is not None
    assert [json.loads(follower.stdout.readline())["seq"] for _ in range(2)] == [1, 2]
    socket.rename(tmp_path / "away.sock")
    again = BusyNode()
    again.uptime_s, again.log = 2.0, [_event(1, "edge-9 joined")]
    with AdminServer(again, AdminSettings(socket=socket)):
        assert json.loads(follower.stdout.readline())["text"] == "edge-9 joined"
