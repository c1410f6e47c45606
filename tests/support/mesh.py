"""A mesh of real `meshcache serve` processes, asked over their admin sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshcache.admin.client import AdminClient
from tests.support.material import Node
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

MEET_S_MAX = 90.0
"""Two Pythons start within three seconds, when they have the machine to themselves."""


class Mesh:
    """Nodes that run, each with its process; more can be started and any can be ended."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.nodes: list[Node] = []
        self.of: dict[str, Process] = {}

    def start(self, node: Node, env: Mapping[str, str] | None = None) -> Process:
        self.of[node.name] = self._processes.meshcache("serve", node.file, env=env)
        if node not in self.nodes:
            self.nodes.append(node)
        return self.of[node.name]

    def wait_until_ready(self, *nodes: Node) -> None:
        """Until each has said that it serves."""
        for node in nodes:
            process = self.of[node.name]
            wait_until(lambda p=process: " ready: " in p.output or not p.running, MEET_S_MAX, f"{node.name} is ready")
            assert process.running, process.output

    def stats(self, node: Node) -> dict[str, Any]:
        return AdminClient(node.admin_socket).stats()

    def shop(self, node: Node) -> dict[str, Any]:
        return self.stats(node)["vips"]["shop"]

    def alive(self, node: Node) -> set[str]:
        """The names of the peers that this node sees alive."""
        return {peer["name"] for peer in self.stats(node)["peers"] if peer["state"] == "alive"}

    def wait_until_met(self, nodes: Sequence[Node]) -> None:
        self.wait_until_ready(*nodes)
        names = {node.name for node in nodes}
        for node in nodes:
            what = f"{node.name} meets {names}: {self.of[node.name].output[-2000:]}"
            wait_until(lambda n=node: self.alive(n) >= names - {n.name}, MEET_S_MAX, what)
