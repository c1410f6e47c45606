"""Policies changed on a mesh of real servers: with the command, over a death and a restart, seen by real clients."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshcache.admin.client import AdminClient
from tests.support.material import Node
from tests.support.mesh import Mesh
from tests.support.processes import run
from tests.support.programs import s_client
from tests.support.waiting import wait_until

Make = Callable[..., list[Node]]


def meshcache(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command, asking this node."""
    command = [sys.executable, "-m", "meshcache", *arguments]
    variables = os.environ | {"MESHCACHE_SOCKET": str(node.admin_socket)}
    return run(command, env=variables)


def policy(node: Node) -> dict[str, Any]:
    found = AdminClient(node.admin_socket).policy()
    return next(vip for vip in found if vip["vip"] == "shop")


def test_a_policy_survives_the_death_of_the_server_where_it_was_set(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    first, second = nodes = make_nodes("edge-1", "edge-2")
    for node in nodes:
        mesh.start(node)
    mesh.wait_until_met(nodes)

    done = meshcache(first, "policy", "set", "shop", "reach=server", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["nodes"]["have"] == 2
    assert policy(second)["reach"] == "server"

    for node in nodes:
        mesh.of[node.name].send(signal.SIGKILL)
        mesh.of[node.name].wait()
    for node in nodes:
        mesh.start(node)
    mesh.wait_until_met(nodes)
    assert [policy(node)["reach"] for node in nodes] == ["server", "server"]
    saved = str(folder / "kept.pem")
    s_client(first.tls, folder, "1.3", "-sess_out", saved)
    assert s_client(second.tls, folder, "1.3", "-sess_in", saved)[0]["session"] == "full"

    assert meshcache(second, "policy", "unset", "shop").returncode == 0
    assert policy(first)["reach"] == "colo"

    def shared() -> bool:
        s_client(first.tls, folder, "1.3", "-sess_out", saved)
        return bool(s_client(second.tls, folder, "1.3", "-sess_in", saved)[0]["session"] == "remote")

    wait_until(shared, what="sessions are shared again")


def test_after_a_new_epoch_no_client_resumes_an_older_session(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    first, second = nodes = make_nodes("edge-1", "edge-2")
    for node in nodes:
        mesh.start(node)
    mesh.wait_until_met(nodes)
    saved = str(folder / "old.pem")
    s_client(first.tls, folder, "1.2", "-sess_out", saved)
    wait_until(lambda: mesh.shop(second)["entries"] >= 1)

    done = meshcache(second, "sessions", "withdraw", "--group", "shop", "--new-epoch", "--json")
    told = json.loads(done.stdout)
    assert (told["epochs"], told["nodes"]["have"]) == ({"shop": 1}, 2)
    assert told["withdrawn"]["mesh"] >= 2
    wait_until(lambda: policy(first)["epoch"] == 1)
    for node in nodes:
        assert s_client(node.tls, folder, "1.2", "-sess_in", saved)[0]["session"] == "full"


def test_what_is_refused_says_why_on_standard_error_and_exits_with_2(mesh: Mesh, make_nodes: Make) -> None:
    (node,) = make_nodes("edge-1")
    mesh.start(node)
    mesh.wait_until_ready(node)
    done = meshcache(node, "policy", "set", "shpo", "reach=colo")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'meshcache: there is no VIP "shpo"; did you mean "shop"?\n'
    assert policy(node)["version"] == 0
