"""A process with one or more embedded nodes, for chaos tests: ``python -m tests.chaos.agent FILE``.

FILE is JSON: the folder with the mesh key, and for each node its name, seeds and what else `nodes.settings` takes.
Answers one JSON question a line on standard input with one line on standard output, and ends when the input does.
Handshakes are real OpenSSL in memory: there is no TLS server. Judges nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshcache import MeshNode
from tests.nodes import settings
from tests.tls.world import client_context, server_context, visit

VIP = "shop"


class Agent:
    """The nodes of this process, each with one context."""

    def __init__(self, folder: Path, nodes: list[dict[str, Any]]) -> None:
        self._nodes: dict[str, MeshNode] = {}
        self._contexts: dict[str, Any] = {}
        self._client = client_context("1.2")
        for wanted in nodes:
            node = MeshNode(settings(folder, **wanted)).start()
            self._nodes[node.name] = node
            self._contexts[node.name] = node.attach(server_context("stdlib"), vip=VIP)

    def addresses(self) -> dict[str, str]:
        return {name: node.address for name, node in self._nodes.items()}

    def bound(self, name: str) -> str:
        """Where a node really listens, whatever it tells its peers."""
        return self._nodes[name].internals.transport.address

    def make(self, name: str, count: int) -> dict[str, Any]:
        """Full handshakes on a node: the ids of the new sessions, and what the slowest handshake took."""
        before, slowest_s = self._own(name), 0.0
        for _ in range(count):
            started = time.monotonic()
            visit(self._contexts[name], self._client)
            slowest_s = max(slowest_s, time.monotonic() - started)
        return {"ids": sorted(self._own(name) - before), "slowest_s": slowest_s}

    def missing(self, ids: list[str]) -> dict[str, int]:
        """How many of these sessions a handshake would not find, for each node that misses any."""
        found = {
            name: sum(self._finds(node, bytes.fromhex(each)) for each in ids) for name, node in self._nodes.items()
        }
        return {name: len(ids) - count for name, count in found.items() if count < len(ids)}

    def lonely(self, count: int) -> dict[str, int]:
        """The nodes with fewer living peers than `count`."""
        alive = {name: sum(peer["state"] == "alive" for peer in node.peers()) for name, node in self._nodes.items()}
        return {name: peers for name, peers in alive.items() if peers < count}

    def states(self, name: str) -> dict[str, str]:
        return {peer["name"]: peer["state"] for peer in self._nodes[name].peers()}

    def peers(self, name: str) -> list[dict[str, Any]]:
        return self._nodes[name].peers()

    def events(self, name: str) -> list[dict[str, Any]]:
        return self._nodes[name].events()

    def stats(self, name: str) -> dict[str, Any]:
        return self._nodes[name].stats()

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()

    def _own(self, name: str) -> set[str]:
        """The ids of what this life of the node has made."""
        core, lock = self._nodes[name].internals.pump.core, self._nodes[name].internals.pump.lock
        life = (name, core.duties.local.identity.incarnation)
        with lock:
            found = {session_id: core.session_origin(VIP, session_id) for session_id in core.session_ids(VIP)}
        return {each.hex() for each, session in found.items() if session and session[0].stream[:2] == life}

    @staticmethod
    def _finds(node: MeshNode, session_id: bytes) -> bool:
        return node.internals.vips.port(VIP).find(session_id) is not None


def main(file: Path) -> None:
    """Run until standard input ends."""
    wanted = json.loads(file.read_text())
    agent = Agent(Path(wanted["folder"]), wanted["nodes"])
    _say(agent.addresses())
    for line in sys.stdin:
        question, *arguments = json.loads(line)
        answer: Callable[..., Any] = getattr(agent, question)
        _say(answer(*arguments))
    agent.close()


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
