"""`tickets show` and `rotate`: keys by name and age, and nothing that opens a ticket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache import MeshNode
from tests.cli.conftest import Meshcache
from tests.nodes import settings
from tests.support.waiting import wait_until
from tests.tls.world import server_context

VIPS = [{"name": "shop", "resumption": "tickets", "sharing": {"reach": "server"}}]


@pytest.fixture
def node(folder: Path) -> Iterator[MeshNode]:
    with MeshNode(settings(folder, vip=VIPS, admin={"socket": folder / "admin.sock"})) as node:
        context = node.attach(server_context("stdlib"), vip="shop")
        wait_until(lambda: bool(node.policies.ticket_rings()[0]["keys"]), what="it has made a key")
        yield node
        del context


@pytest.mark.slow
def test_a_node_s_keys_are_shown_and_changed(meshcache: Meshcache, node: MeshNode, folder: Path) -> None:
    ended = meshcache("tickets", "show", "--socket", folder / "admin.sock")
    assert (ended.code, ended.err) == (0, "")
    assert "group shop, ring " in ended.out
    assert "VIP shop; this process alone" in ended.out
    assert "  encrypts  " in ended.out
    (ring,) = json.loads(meshcache("tickets", "show", "--json", "--socket", folder / "admin.sock").out)["rings"]
    assert [key["generation"] for key in ring["keys"]] == [1]
    refused = meshcache("tickets", "rotate", "shop", "--socket", folder / "admin.sock")
    assert refused.code == 2
    assert "only just now" in refused.err
    assert meshcache("tickets", "rotate", "pay", "--socket", folder / "admin.sock").code == 2
    found = node.internals.pump.core.tickets.of_vip("shop", node.internals.pump.clock())
    assert found is not None
    for secret in (found.opening[0].reveal(), found.opening[0].derive("TLS AES-256-CBC")):
        assert secret.hex()[:8] not in ended.out + json.dumps(ring) + json.dumps(node.stats())


def test_a_node_without_tickets_says_so(meshcache: Meshcache, folder: Path) -> None:
    with MeshNode(settings(folder, admin={"socket": folder / "admin.sock"})):
        assert "no VIP here has tickets" in meshcache("tickets", "show", "--socket", folder / "admin.sock").out
