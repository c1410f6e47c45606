"""A mesh of servers changes its key while clients come and go, by the commands that docs/keys.md names and SIGHUP."""

from __future__ import annotations

import re
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshcache.edges.keyfile import load_keyring
from tests.support.material import Node
from tests.support.mesh import Mesh
from tests.support.processes import meshcache
from tests.support.programs import python_visit
from tests.support.waiting import wait_until

Make = Callable[..., list[Node]]

STEP_S_MAX = 60.0


def key_of(node: Node) -> Path:
    return node.file.with_name(f"{node.name}.key")


def with_keys_of_their_own(nodes: list[Node]) -> None:
    """Each node gets a copy of the mesh's key file, as on machines of their own."""
    for node in nodes:
        key_of(node).touch(mode=0o600)
        key_of(node).write_bytes(node.file.with_name("mesh.key").read_bytes())
        node.file.write_text(node.file.read_text().replace('"mesh.key"', f'"{node.name}.key"'))


class Clients:
    """Everybody who ever came to the first server, and what each of them will offer when it comes back."""

    def __init__(self, folder: Path) -> None:
        self._context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        self._context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose sessions can be offered again and again
        self.sessions: list[Any] = []

    def come_to(self, node: Node, count: int = 3) -> None:
        for _ in range(count):
            answer, session, resumed = python_visit(node.tls, self._context)
            assert (answer["session"], resumed) == ("full", False)
            self.sessions.append(session)

    def all_resume_at(self, node: Node) -> bool:
        answers = [python_visit(node.tls, self._context, session)[0] for session in self.sessions]
        return {(answer["session"], answer["origin"]) for answer in answers} == {("remote", "edge-1")}


def run_key(*arguments: str | Path) -> None:
    ended = meshcache("key", *arguments)
    assert ended.returncode == 0, ended.stderr


def reload(mesh: Mesh, node: Node) -> None:
    process = mesh.of[node.name]
    before = process.output.count("reloaded: ")
    process.send(signal.SIGHUP)
    wait_until(lambda: process.output.count("reloaded: ") > before, STEP_S_MAX, process.output[-2000:])
    assert "not reloaded" not in process.output


def test_no_session_is_lost_and_who_was_away_comes_back_with_the_new_file_only(
    mesh: Mesh, make_nodes: Make, folder: Path
) -> None:
    nodes = make_nodes(["edge-1", "edge-2", "edge-3"])
    with_keys_of_their_own(nodes)
    first, second, away = nodes
    for node in nodes:
        mesh.start(node)
    mesh.wait_until_met(nodes)
    clients = Clients(folder)
    clients.come_to(first)
    mesh.of[away.name].kill()

    key, other_key = key_of(first), key_of(second)
    (old,) = load_keyring(key).fingerprints
    steps = [
        [("add", key), ("add", other_key, key)],
        [("promote", key), ("promote", other_key)],
        [("retire", key, old), ("retire", other_key, old)],
    ]
    for step in steps:
        for command, node in zip(step, (first, second), strict=True):
            run_key(*command)
            reload(mesh, node)
            clients.come_to(first)  # also while only one of them has taken the step
    assert load_keyring(key) == load_keyring(other_key)
    assert old not in load_keyring(key).fingerprints
    arrived = len(clients.sessions)
    wait_until(lambda: mesh.shop(second)["entries"] >= arrived, STEP_S_MAX, "every session is on the second node")
    assert clients.all_resume_at(second)

    _comes_back_with_the_old_file(mesh, away, old)
    key_of(away).write_bytes(key.read_bytes())
    reload(mesh, away)
    mesh.wait_until_met(nodes)
    wait_until(lambda: mesh.shop(away)["entries"] >= arrived, STEP_S_MAX, "and on the one that was away")
    assert clients.all_resume_at(away)
    assert [line for node in nodes for line in mesh.of[node.name].output.splitlines() if " ERROR " in line] == []


def _comes_back_with_the_old_file(mesh: Mesh, away: Node, old: str) -> None:
    """It is refused by both, each of which names it; and its own log says what to do."""
    process = mesh.start(away)
    mesh.wait_until_ready(away)
    wait_until(lambda: process.output.count("closed during the handshake") >= 2, STEP_S_MAX, process.output[-2000:])
    told = re.search(r"refused: the connection to (\S+): closed during the handshake; (.+)", process.output)
    assert told is not None
    assert f"has it another mesh key? ours: {old}. " in told[2]
    assert "no node's mesh.listen" in told[2]
    assert "copy the key file of a node that is in it and send SIGHUP (docs/keys.md)" in told[2]
    named = "refused: a connection from 127.0.0.1: another mesh key"
    for node in (node for node in mesh.nodes if node is not away):
        wait_until(lambda n=node: named in mesh.of[n.name].output, STEP_S_MAX, f"{node.name} names it")
        wait_until(lambda n=node: away.name not in mesh.alive(n), STEP_S_MAX, f"{node.name} has seen that it died")
        assert mesh.stats(node)["transport"]["refused"]["another mesh key"] >= 1
    assert mesh.alive(away) == set()
    assert mesh.shop(away)["entries"] == 0
