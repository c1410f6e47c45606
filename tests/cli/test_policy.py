"""`policy` shows what holds, changes it on real nodes, and explains it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache import MeshNode
from tests.cli.conftest import BusyNode, Meshcache
from tests.nodes import settings
from tests.support.waiting import wait_until
from tests.tls.world import client_context, server_context, visit


def test_one_line_for_each_vip(meshcache: Meshcache, socket: Path) -> None:
    lines = meshcache("policy", "show", "--socket", socket).out.splitlines()
    assert lines[1].split() == ["shop", "storefront", "ams1,fra1", "-", "-", "1h00m", "1d00h", "-"]
    assert lines[2].split() == ["pay", "pay", "colo", "never", "-", "-", "-", "2.0", "MiB"]


def test_json_is_a_list(meshcache: Meshcache, node: BusyNode, socket: Path) -> None:
    assert json.loads(meshcache("policy", "show", "--json", "--socket", socket).out) == node.policy()


class Pair:
    """Two real nodes in two colos, each with an admin socket and a context."""

    def __init__(self, folder: Path, nodes: tuple[MeshNode, MeshNode], contexts: list[Any]) -> None:
        self.nodes = nodes
        self.contexts = contexts
        self.socket, self.far_socket = (folder / f"{node.name}.sock" for node in nodes)

    def policy(self, at: int) -> dict[str, Any]:
        return self.nodes[at].policy()[0]


@pytest.fixture
def pair(folder: Path) -> Iterator[Pair]:
    with MeshNode(settings(folder, admin={"socket": folder / "edge-1.sock"})) as near:
        mesh = {"seeds": [near.address]}
        made = settings(folder, "edge-2", colo="fra1", mesh=mesh, admin={"socket": folder / "edge-2.sock"})
        with MeshNode(made) as far:
            contexts = [node.attach(server_context("stdlib"), vip="shop") for node in (near, far)]
            wait_until(lambda: near.peers() and far.peers() and far.peers()[0]["vips"] and near.peers()[0]["vips"])
            yield Pair(folder, (near, far), contexts)


def test_a_value_is_set_shown_and_taken_back_on_every_node(meshcache: Meshcache, pair: Pair) -> None:
    ended = meshcache("policy", "set", "shop", "reach=everywhere", "lifetime_s=600", "--socket", pair.socket)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "shop: reach=everywhere, lifetime_s=600; version 1",
        "in force on 2 of 2 nodes; 0 copies that it no longer allows were removed there, 0 of them here",
    ]
    assert (pair.policy(1)["reach"], pair.policy(1)["lifetime_s"]) == ("everywhere", 600)
    wait_until(lambda: pair.policy(0)["nodes"]["have"] == 2)
    shown = meshcache("policy", "show", "--socket", pair.socket).out
    assert "shop: live: reach, lifetime_s; default: lineage_s, quota, client_certificates, copies, push" in shown
    assert "version 1 by edge-1: 2 of 2 at version 1" in shown
    assert max(map(len, shown.splitlines())) <= 100

    ended = meshcache("policy", "unset", "shop", "reach", "--socket", pair.far_socket)
    assert "shop: no reach; version 2" in ended.out
    assert pair.policy(0)["reach"] == "colo"
    assert meshcache("policy", "unset", "shop", "reach", "--socket", pair.far_socket).out.startswith(
        "shop: nothing to change; version 2"
    )


def test_tightening_says_how_many_copies_went(meshcache: Meshcache, pair: Pair) -> None:
    meshcache("policy", "set", "shop", "reach=everywhere", "--socket", pair.socket)
    for _ in range(3):
        visit(pair.contexts[0], client_context("1.2"))
    wait_until(lambda: pair.nodes[1].stats()["vips"]["shop"]["entries"] == 3)
    ended = meshcache("policy", "set", "shop", "reach=colo", "--json", "--socket", pair.socket)
    told = json.loads(ended.out)
    assert told["recalled"] == {"here": 0, "mesh": 3}
    assert (told["nodes"]["have"], told["version"], told["kept"]) == (2, 2, True)


def test_a_node_where_something_else_holds_is_named_with_3(meshcache: Meshcache, pair: Pair) -> None:
    assert meshcache("policy", "set", "shop", "lifetime_s=60", "--node-only", "--socket", pair.far_socket).code == 0
    ended = meshcache("policy", "set", "shop", "lifetime_s=5000", "--socket", pair.socket)
    assert ended.code == 3
    assert "in force on 1 of 2 nodes;" in ended.out
    assert "  not on edge-2: lifetime_s=60 (set on that node alone)" in ended.out
    assert meshcache("policy", "unset", "shop", "--socket", pair.socket).code == 0


def test_for_one_node_only(meshcache: Meshcache, pair: Pair) -> None:
    ended = meshcache("policy", "set", "shop", "reach=server", "--node-only", "--socket", pair.socket)
    assert ended.out.startswith("shop: reach=server, on this node only\n0 copies")
    assert (pair.policy(0)["reach"], pair.policy(1)["reach"]) == ("server", "colo")
    assert "node: reach" in meshcache("policy", "show", "--socket", pair.socket).out
    assert meshcache("policy", "unset", "shop", "--node-only", "--socket", pair.socket).code == 0
    assert pair.policy(0)["reach"] == "colo"


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["set", "shpo", "reach=colo"], 'meshcache: there is no VIP "shpo"; did you mean "shop"?'),
        (["set", "shop", "reich=colo"], 'meshcache: there is no key "reich" to set; did you mean "reach"?'),
        (["set", "shop", "reach=fra2"], 'meshcache: reach: there is no colo "fra2"; did you mean "fra1"?'),
        (["set", "shop", "group=pay"], "meshcache: group is not set live"),
        (["unset", "shop", "reich"], 'meshcache: there is no key "reich"'),
        (["set", "shop", "reach"], "write KEY=VALUE"),
        (["set", "shop", "reach="], "write KEY=VALUE"),
        (["set", "shop", "reach=colo", "reach=server"], "reach is given twice"),
        (["set", "shop"], "Missing argument"),
        (["explain", "--from", "shop@ams1"], "give --from and --to, or --session"),
        (["explain", "--from", "shop@ams1", "--to", "shop@ams3"], 'nobody serves "shop@ams3"'),
        (["explain", "--session", "abc"], "12 hexadecimal digits"),
    ],
)
def test_what_is_wrong_exits_with_2_and_changes_nothing(
    meshcache: Meshcache, pair: Pair, arguments: list[str], reason: str
) -> None:
    ended = meshcache("policy", *arguments, "--socket", pair.socket)
    assert ended.code == 2
    assert reason in ended.err
    assert [pair.policy(at)["version"] for at in (0, 1)] == [0, 0]


def test_a_refused_way_is_explained_with_3_and_an_open_one_with_0(meshcache: Meshcache, pair: Pair) -> None:
    way = ["--from", "shop@ams1", "--to", "shop@fra1", "--socket", pair.socket]
    ended = meshcache("policy", "explain", *way)
    assert ended.code == 3
    assert "refused at may_send, sender_reach: the reach of shop in ams1 is colo, which leaves out fra1" in ended.out
    meshcache("policy", "set", "shop", "reach=everywhere", "--socket", pair.socket)
    wait_until(lambda: meshcache("policy", "explain", *way).code == 0)
    assert "edge-1 to edge-2: allowed" in meshcache("policy", "explain", *way).out
    assert json.loads(meshcache("policy", "explain", *way, "--json").out)["allowed"] == "all"


def test_a_session_that_is_not_here_is_explained_with_3(meshcache: Meshcache, pair: Pair) -> None:
    ended = meshcache("policy", "explain", "--session", "0123456789ab", "--socket", pair.socket)
    assert (ended.code, "not in this node's cache" in ended.out) == (3, True)


def test_a_vip_whose_clients_keep_their_sessions_says_so(meshcache: Meshcache, folder: Path) -> None:
    vips = [{"name": "shop", "resumption": "both"}, {"name": "pay"}]
    where = folder / "edge-1.sock"
    with MeshNode(settings(folder, vip=vips, admin={"socket": str(where)})) as node:
        for vip in ("shop", "pay"):
            node.attach(server_context("stdlib"), vip=vip)
        lines = meshcache("policy", "show", "--socket", where).out.splitlines()
    said = [line for line in lines if "tickets show" in line]
    assert len(said) == 1
    assert said[0].startswith("  TLS 1.2 clients that can do no other keep their sessions, in tickets")
    assert lines.index(said[0]) == lines.index(next(line for line in lines if line.startswith("shop: "))) + 1


def test_copies_are_set_and_shown_and_what_holds_elsewhere_is_named(meshcache: Meshcache, pair: Pair) -> None:
    ended = meshcache("policy", "set", "shop", "copies=2", "push=none", "--socket", pair.socket)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("shop: copies=2, push=none; version 1\nin force on 2 of 2 nodes;")
    assert ended.out.count("  note: ") == 0, "with reach colo no other colo would get any"
    for wider in ("reach=everywhere", "push=none"):
        ended = meshcache("policy", "set", "shop", wider, "copies=1", "--socket", pair.socket)
    assert (
        '  note: with push = "none" other colos get no copies, and with fetch = "colo" they ask for none' in ended.out
    )
    assert meshcache("policy", "set", "shop", "reach=colo", "copies=2", "--socket", pair.socket).code == 0
    shown = meshcache("policy", "show", "--socket", pair.far_socket).out
    assert "shop: live: reach, copies, push; default: " in shown
    assert "  copies = 2: so many servers of a colo hold a session, the others fetch it\n" in shown
    assert '  push = none: other colos are given none, and here fetch is not "reach"' in shown
    assert meshcache("policy", "set", "shop", "copies=3", "--node-only", "--socket", pair.far_socket).code == 0
    wait_until(lambda: pair.policy(0)["other_copies"])
    assert "  other copies: edge-2 3, push none" in meshcache("policy", "show", "--socket", pair.socket).out
    ended = meshcache("policy", "set", "shop", "push=none", "copies=all", "--socket", pair.socket)
    assert ended.code == 2
    assert "set how many copies in the same command" in ended.err
