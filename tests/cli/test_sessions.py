"""`sessions withdraw` forgets on every node, and says how many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache import MeshNode
from tests.cli.conftest import Meshcache
from tests.nodes import settings
from tests.support.waiting import wait_until
from tests.tls.world import client_context, server_context, visit


@pytest.fixture
def busy(folder: Path) -> Iterator[MeshNode]:
    """A node with three sessions."""
    with MeshNode(settings(folder, admin={"socket": folder / "admin.sock"})) as node:
        context = node.attach(server_context("stdlib"), vip="shop")
        for _ in range(3):
            visit(context, client_context("1.2"))
        wait_until(lambda: node.stats()["vips"]["shop"]["entries"] == 3)
        yield node
        del context


@pytest.mark.parametrize(
    "what", [["--vip", "shop"], ["--group", "shop"], ["--origin", "edge-1"], ["--all"]], ids=lambda what: what[0]
)
def test_it_says_how_many_went(meshcache: Meshcache, busy: MeshNode, folder: Path, what: list[str]) -> None:
    ended = meshcache("sessions", "withdraw", *what, "--socket", folder / "admin.sock")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "3 sessions withdrawn, 3 of them here; done on 1 of 1 node\n"
    assert busy.stats()["vips"]["shop"]["entries"] == 0


def test_a_new_epoch_is_named(meshcache: Meshcache, busy: MeshNode, folder: Path) -> None:
    ended = meshcache("sessions", "withdraw", "--all", "--new-epoch", "--socket", folder / "admin.sock")
    assert "share group shop: policy epoch 1, every older session is dead" in ended.out
    assert busy.policy()[0]["epoch"] == 1
    told = json.loads(
        meshcache(
            "sessions", "withdraw", "--group", "shop", "--new-epoch", "--json", "--socket", folder / "admin.sock"
        ).out
    )
    assert told["epochs"] == {"shop": 2}
    assert told["withdrawn"] == {"here": 0, "mesh": 0}


def test_it_says_whether_tickets_end_too(meshcache: Meshcache, folder: Path) -> None:
    vip = [{"name": "shop", "resumption": "tickets"}]
    with MeshNode(settings(folder, vip=vip, admin={"socket": folder / "admin.sock"})) as node:
        context = node.attach(server_context("stdlib"), vip="shop")
        wait_until(lambda: node.policies.ticket_rings()[0]["keys"], what="it has a key")

        def told(*what: str) -> str:
            return meshcache("sessions", "withdraw", *what, "--socket", folder / "admin.sock").out

        assert "share group shop: tickets go on" in told("--origin", "edge-1")
        assert node.policies.ticket_rings()[0]["keys"]
        for what in (("--vip", "shop"), ("--group", "shop"), ("--all",)):
            assert "share group shop: its ticket keys are wiped" in told(*what)
            assert not node.policies.ticket_rings()[0]["keys"]
        del context


@pytest.mark.parametrize(
    "what, reason",
    [
        ([], "give one of --vip, --group, --origin and --all"),
        (["--vip", "shop", "--all"], "give one of"),
        (["--vip", "shpo"], 'there is no VIP "shpo" in this mesh; did you mean "shop"?'),
        (["--origin", "edge-1", "--new-epoch"], "an epoch is a share group's"),
    ],
)
def test_what_is_wrong_exits_with_2_and_forgets_nothing(
    meshcache: Meshcache, busy: MeshNode, folder: Path, what: list[str], reason: str
) -> None:
    ended = meshcache("sessions", "withdraw", *what, "--socket", folder / "admin.sock")
    assert ended.code == 2
    assert reason in ended.err
    assert busy.stats()["vips"]["shop"]["entries"] == 3


def test_where_no_node_answers_it_exits_with_1(meshcache: Meshcache, tmp_path: Path) -> None:
    assert meshcache("sessions", "withdraw", "--all", "--socket", tmp_path / "none.sock").code == 1
