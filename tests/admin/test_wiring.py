"""A node opens its admin interface with itself, and is not half running when it can't."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshcache import (
    AdminSettings,
    ConfigError,
    MeshcacheError,
    MeshNode,
    MeshSettings,
    NodeSettings,
    Settings,
    VipSettings,
)
from meshcache.admin.client import AdminClient
from meshcache.edges.keyfile import create_keyring
from meshcache.edges.keyring import Keyring
from meshcache.errors import AdminError
from meshcache.live_policy.kept import Kept
from meshcache.live_policy.policy_file import PolicyFile
from tests.tls.world import server_context


def settings(folder: Path, name: str = "edge-1") -> Settings:
    if not (folder / "mesh.key").exists():
        create_keyring(folder / "mesh.key", Keyring.new())
    return Settings(
        node=NodeSettings(name=name),
        mesh=MeshSettings(key_file=folder / "mesh.key", listen="127.0.0.1:0", mdns=False),
        admin=AdminSettings(socket=folder / "admin.sock"),
        vip=(VipSettings(name="shop"),),
    )


def test_the_socket_answers_while_the_node_runs_and_is_gone_after(folder: Path) -> None:
    client = AdminClient(folder / "admin.sock")
    with MeshNode(settings(folder)) as node:
        assert client.stats()["node"]["name"] == "edge-1"
        assert client.stats()["cache"] == node.stats()["cache"]
        assert client.peers() == node.peers() == []
        assert client.policy() == node.policy()
        assert client.events() == node.events()
    with pytest.raises(AdminError, match="no such socket"):
        client.stats()


def test_a_node_whose_socket_is_taken_does_not_run_at_all(folder: Path) -> None:
    with MeshNode(settings(folder)):
        second = MeshNode(settings(folder, "edge-2"))
        before = threading.active_count()
        with pytest.raises(ConfigError, match=r"admin\.socket: a node answers at"):
            second.start()
        assert threading.active_count() == before
        with pytest.raises(MeshcacheError, match="closed"):
            second.stats()
        assert AdminClient(folder / "admin.sock").stats()["node"]["name"] == "edge-1"


def test_while_a_disk_keeps_a_change_of_a_policy_waiting_everybody_else_is_answered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = AdminClient(folder / "admin.sock")
    waits, goes_on = threading.Event(), threading.Event()

    def save(_file: PolicyFile, _kept: Kept) -> None:
        waits.set()
        goes_on.wait(60)

    with MeshNode(settings(folder)) as node, ThreadPoolExecutor() as others:
        node.attach(server_context("stdlib"), vip="shop")
        (before,) = client.policy()
        monkeypatch.setattr(PolicyFile, "save", save)
        changed = others.submit(node.policies.set_policy, "shop", {"lifetime_s": "600"})
        try:
            assert waits.wait(60)
            asked = others.submit(client.policy)
            answers = [others.submit(each) for each in (client.stats, client.peers, client.events)]
            assert [each["lifetime_s"] for each in asked.result()] == [before["lifetime_s"]], "what holds until then"
            assert answers[0].result()["node"]["name"] == "edge-1"
            assert all(answer.result() is not None for answer in answers)
            assert not changed.done()
        finally:
            goes_on.set()
        assert changed.result()["vip"] == "shop"
        assert [each["lifetime_s"] for each in client.policy()] == [600]
