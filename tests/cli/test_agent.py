"""`tickets agent`: a real process beside no server, and what it refuses to start with."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Meshcache
from tests.support.processes import Processes
from tests.support.waiting import wait_until

FILE = """
[node]
name = "edge-1"
[mesh]
listen = "127.0.0.1:0"
mdns = false
[[vip]]
name = "shop"
resumption = "tickets"
"""
EXPORT = """
[[tickets.export]]
vip = "shop"
format = "nginx"
path = "keys"
command = ["sh", "-c", "echo told >> told"]
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", [["tickets", "agent"], ["serve"]])
def test_it_is_ready_when_the_keys_are_there_and_leaves_them_when_it_ends(
    meshcache: Meshcache, processes: Processes, folder: Path, command: list[str]
) -> None:
    (folder / "meshcache.toml").write_text(FILE + EXPORT)
    meshcache("key", "new", folder / "mesh.key")
    process = processes.start([sys.executable, "-m", "meshcache", *command], cwd=folder)
    wait_until(lambda: "ready: edge-1@local" in process.output or not process.running)
    assert (folder / "keys/tickets.conf").exists(), process.output
    assert (folder / "told").read_text() == "told\n"
    limits = Path(f"/proc/{process.popen.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits), "keys are in no core file"
    socket = folder / "state/edge-1/admin.sock"
    assert "shop for nginx: as the mesh has them" in meshcache("doctor", "--socket", socket).out
    before = (folder / "keys/tickets.conf").read_text()
    written = meshcache("tickets", "export", "shop", "--format", "nginx", "--path", folder / "once", "--socket", socket)
    assert written.code == 0, written.err
    assert sorted(path.name for path in (folder / "once").iterdir()) == sorted(
        path.name for path in (folder / "keys").iterdir()
    )
    refused = meshcache("tickets", "export", "shop", "--format", "haproxy", "--path", "/etc/passwd", "--socket", socket)
    assert (refused.code, "holds something else" in refused.err) == (2, True)
    process.send(signal.SIGTERM)
    assert process.wait() == 0
    assert (folder / "keys/tickets.conf").read_text() == before


def test_it_is_for_exports_alone(meshcache: Meshcache, folder: Path) -> None:
    Path("meshcache.toml").write_text(FILE)
    meshcache("key", "new", "mesh.key")
    ended = meshcache("tickets", "agent")
    assert (ended.code, "tickets.export: there is none" in ended.err) == (2, True)
    listening = 'listen = "127.0.0.1:0"\ncertificate = "x"\nprivate_key = "x"\n'
    Path("meshcache.toml").write_text(FILE + listening + EXPORT)
    ended = meshcache("tickets", "agent")
    assert (ended.code, "vip[0].listen: an agent listens on nothing" in ended.err) == (2, True)


def test_a_place_that_keys_can_not_go_to_ends_it_before_it_starts(meshcache: Meshcache, folder: Path) -> None:
    Path("meshcache.toml").write_text(FILE + EXPORT)
    Path("keys").write_text("something else")
    meshcache("key", "new", "mesh.key")
    ended = meshcache("tickets", "agent")
    assert (ended.code, f"tickets.export[0].path: {Path('keys').absolute()} is not a folder" in ended.err) == (2, True)
