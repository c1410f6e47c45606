"""Real servers of which only some hold a session: clients come to one that doesn't, also when its maker is dead."""

from __future__ import annotations

import signal
import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.test_rolling_restart import visit
from tests.support.material import Node
from tests.support.mesh import Mesh
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

Make = Callable[..., list[Node]]
SESSIONS = 40


def test_clients_of_a_dead_server_resume_at_servers_that_dont_hold_their_sessions(
    mesh: Mesh, make_nodes: Make, folder: Path
) -> None:
    nodes = make_nodes("edge-1", "edge-2", "edge-3", "edge-4", "edge-5")
    for node in nodes:
        text = node.file.read_text()
        node.file.write_text(text.replace("tickets = 1", "copies = 3\nfetch_ms = 1500\ntickets = 1"))
        mesh.start(node)
    mesh.wait_until_met(nodes)
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    known = [visit(context, nodes[0])[0] for _ in range(SESSIONS)]
    wait_until(lambda: sum(mesh.shop(node)["sessions"]["received"] for node in nodes[1:]) >= 2 * SESSIONS)
    held = {node.name: mesh.shop(node)["entries"] for node in nodes}
    assert held["edge-1"] == SESSIONS
    assert sum(held.values()) == 3 * SESSIONS
    assert mesh.shop(nodes[0])["copies"] == 3

    mesh.of["edge-1"].send(signal.SIGKILL)
    mesh.of["edge-1"].popen.wait(30)
    rest = nodes[1:]
    for node in rest:
        wait_until(partial(_lost, mesh, node), what=f"{node.name} knows that edge-1 is gone")
    wait_until(lambda: sum(mesh.shop(node)["entries"] for node in rest) >= 3 * SESSIONS, what="copies are whole again")

    resumed = [visit(context, rest[0], session)[1] for session in known]
    assert sum(resumed) == SESSIONS, mesh.shop(rest[0])["lookups"]
    found = Counter(mesh.shop(rest[0])["lookups"] | {"asked": 0, "refused": 0})
    assert found["pulled"] > 0, "some it didn't hold"
    assert found["remote"] > 0
    assert found["pulled"] + found["remote"] == SESSIONS


def _lost(mesh: Mesh, node: Node) -> bool:
    return "edge-1" not in mesh.alive(node)
