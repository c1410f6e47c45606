"""Nodes in this process for tests: real ZeroMQ on loopback, real contexts, memory for the clients' bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from meshcache import MeshNode, Settings
from meshcache.edges.keyfile import create_keyring
from meshcache.edges.keyring import Keyring
from tests.support.waiting import wait_until
from tests.tls.world import server_context

NAMES = ("a.test", "b.test")


def settings(folder: Path, name: str = "edge-1", **changes: Any) -> Settings:
    """Settings of an embedded node: no listener of its own, a mesh on a free port, one VIP that is attached.

    Its VIPs give one ticket, so that each visit makes one session, as tests count; with `one_ticket=False` a
    VIP that says nothing gives the default's number.
    """
    counted = {"tickets": 1} if changes.pop("one_ticket", True) else {}
    key = folder / changes.pop("key", "mesh.key")
    if not key.exists():
        create_keyring(key, Keyring.new())
    node = {"name": name, "colo": changes.pop("colo", "ams1"), "state_dir": str(folder / name)}
    mesh = {"name": "test", "key_file": str(key), "listen": "127.0.0.1:0", "mdns": False, **changes.pop("mesh", {})}
    vips = changes.pop("vip", None) or [{"name": "shop", "sharing": changes.pop("sharing", {})}]
    vips = [{**counted, **vip} for vip in vips]
    return Settings.model_validate({"node": node, "mesh": mesh, "admin": {"socket": False}, "vip": vips, **changes})


class Place:
    """Starts nodes, each knowing those before it, and ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: list[MeshNode] = []
        self._stack = ExitStack()

    def node(self, name: str, **changes: Any) -> MeshNode:
        seeds = [node.address for node in self.nodes]
        mesh = {"seeds": seeds, **changes.pop("mesh", {})}
        hooks = changes.pop("hooks", ())
        given = hooks if isinstance(hooks, (list, tuple)) else ()
        if hooks is not given:
            changes["hooks"] = hooks  # of the file
        node = self._stack.enter_context(MeshNode(settings(self.folder, name, mesh=mesh, **changes), hooks=given))
        self.nodes.append(node)
        return node

    def server(self, node: MeshNode, *, kind: str = "stdlib", vip: str = "shop", version: str | None = None) -> Any:
        return node.attach(server_context(kind, version), vip=vip)

    def wait_until_met(self) -> None:
        """Wait until each sees the others alive and knows their newest record: what a context attached a moment ago has
        changed, as the lowest TLS version, makes the node an island to whoever hasn't heard of it."""
        for node in self.nodes:
            others = {other.name for other in self.nodes} - {node.name}
            wait_until(partial(_sees, node, others), what=f"{node.name} meets {others}")
        for node in self.nodes:
            wait_until(partial(_knows, node, self.nodes), what=f"{node.name} knows what all are now")

    def wait_until_dialled(self, node: MeshNode, address: str) -> None:
        """Wait until `node` sends on a connection of its own to this address: who has met may do so on the other's."""
        wait_until(partial(_dials, node, address), what=f"{node.name} has its own connection to {address}")

    def close(self) -> None:
        self._stack.close()


def _dials(node: MeshNode, address: str) -> bool:
    return any(peer["address"] == address and peer["link"] in ("both", "outbound") for peer in node.peers())


def _knows(node: MeshNode, nodes: list[MeshNode]) -> bool:
    known = {record.node: record.age for record, _ in node.internals.pump.core.records()}
    return all(known.get(other.name) == other.internals.pump.core.records()[0][0].age for other in nodes)


def _sees(node: MeshNode, others: set[str]) -> bool:
    return alive(node) >= others


def alive(node: MeshNode) -> set[str]:
    """The names of the peers that a node sees alive."""
    return {peer["name"] for peer in node.peers() if peer["state"] == "alive"}


def places(folder: Path) -> Iterator[Place]:
    """For a fixture."""
    place = Place(folder)
    try:
        yield place
    finally:
        place.close()
