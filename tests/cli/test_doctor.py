"""`doctor` on this machine, with a file and a real node."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache import MeshNode
from meshcache.admin.server import AdminServer
from meshcache.config import AdminSettings
from meshcache.doctor import machine
from meshcache.edges.keyfile import create_keyring
from meshcache.edges.keyring import Keyring
from tests.cli.conftest import BusyNode, Meshcache
from tests.nodes import settings
from tests.support.waiting import wait_until
from tests.tls.world import ask_clients, server_context


@pytest.fixture
def node(folder: Path) -> Iterator[MeshNode]:
    with MeshNode(settings(folder, admin={"socket": folder / "admin.sock"})) as node:
        context = server_context("stdlib")
        node.attach(context, vip="shop")
        yield node
        del context


def write(folder: Path, **mesh: object) -> Path:
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"mdns": False, **mesh}.items()]
    path = folder / "meshcache.toml"
    path.write_text(
        "\n".join(
            ["[node]", 'name = "edge-9"', "[admin]", "socket = false", "[mesh]", *lines, "[[vip]]", 'name = "shop"']
        )
    )
    return path


def test_a_fit_machine_with_a_node_has_no_problem(meshcache: Meshcache, node: MeshNode, folder: Path) -> None:
    file = write(folder, name="test", listen="127.0.0.1:0", seeds=[node.address])
    ended = meshcache("doctor", file, "--socket", folder / "admin.sock")
    assert (ended.code, ended.err) == (0, ""), ended.out
    assert "ok hooks of pyOpenSSL" in ended.out
    assert f"ok seed {node.address}: answers and takes our key" in ended.out
    assert "ok node: edge-1 in ams1 answers" in ended.out
    assert ended.out.endswith("no problems found\n")


def test_problems_exit_with_3_and_each_says_what_to_do(meshcache: Meshcache, node: MeshNode, folder: Path) -> None:
    create_keyring(folder / "another.key", Keyring.new())
    file = write(folder, key_file="another.key", listen="127.0.0.1:0", seeds=[node.address])
    ended = meshcache("doctor", file, "--json", "--socket", folder / "none.sock")
    assert ended.code == 3
    told = json.loads(ended.out)
    assert told["degraded"]
    (seed,) = [check for check in told["checks"] if check["name"].startswith("seed")]
    assert (seed["state"], "not to our key" in seed["text"]) == ("problem", True)
    assert all(check["do"] for check in told["checks"] if check["state"] == "problem")


def test_an_island_is_named_with_its_setting(meshcache: Meshcache, node: MeshNode, folder: Path) -> None:
    with MeshNode(settings(folder, "edge-2", mesh={"seeds": [node.address]})) as other:
        context = server_context("stdlib")
        ask_clients(context, required=False)
        other.attach(context, vip="shop")
        wait_until(lambda: node.peers() and node.peers()[0]["islands"])
        ended = meshcache("doctor", "--socket", folder / "admin.sock")
    assert ended.code == 3
    assert "!! island in group shop: edge-2" in ended.out
    assert "how clients are asked for certificates" in ended.out


def test_a_vip_in_two_share_groups_is_named(meshcache: Meshcache, node: MeshNode, folder: Path) -> None:
    vip = {"name": "shop", "sharing": {"group": "storefront"}}
    with MeshNode(settings(folder, "edge-2", mesh={"seeds": [node.address]}, vip=[vip])) as other:
        other.attach(server_context("stdlib"), vip="shop")
        wait_until(lambda: node.peers() and node.peers()[0]["vips"])
        ended = meshcache("doctor", "--socket", folder / "admin.sock")
    assert ended.code == 3
    assert "!! share group of VIP shop:" in ended.out
    assert ": shop on edge-1 (asked); storefront on edge-2\n" in ended.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_than_the_nodes_is_told_to_be_that_one(
    meshcache: Meshcache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "hook_findings", list)  # by processes that another user may not start here
    folder.chmod(0o755)
    file = write(folder, key_file=str(folder / "mesh.key"), listen="127.0.0.1:0")
    file.write_text(file.read_text().replace("socket = false", f'socket = "{folder}/state/edge-1/admin.sock"'))
    create_keyring(folder / "mesh.key", Keyring.new())
    assert meshcache("doctor", file).code == 0, "and all modules are imported, which another user may not read"
    (folder / "state").mkdir()
    (folder / "state" / "edge-1").mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        ended = meshcache("doctor", file)
    finally:
        os.seteuid(0)
    lines = ended.out.splitlines()
    assert ended.code == 3, ended
    for name in ("-- user:", "!! file:", "!! mesh key:", "-- node:"):
        (at,) = [number for number, line in enumerate(lines) if line.startswith(name)]
        assert "run doctor as the user that runs the node" in lines[at + 1]
    assert "restart it" not in ended.out
    assert "key new" not in ended.out


def test_a_file_with_faults_is_a_problem_and_the_machine_is_looked_at_all_the_same(
    meshcache: Meshcache, folder: Path
) -> None:
    file = write(folder, nonsense=1)
    ended = meshcache("doctor", file)
    assert ended.code == 3
    assert "!! file:" in ended.out
    assert "hooks of pyOpenSSL" in ended.out


def test_without_file_and_node_the_machine_alone_is_looked_at(meshcache: Meshcache) -> None:
    ended = meshcache("doctor")
    assert ended.code == 0
    assert "there is no meshcache.toml here" in ended.out
    assert "-- node: none is asked" in ended.out


class TestWhichNode:
    """As the other commands find it."""

    def test_where_only_workers_run_the_first_that_answers_is_looked_at(
        self, meshcache: Meshcache, folder: Path
    ) -> None:
        (folder / "meshcache.toml").write_text('[node]\nname = "web"\n[mesh]\nmdns = false\n')
        create_keyring(folder / "mesh.key", Keyring.new())
        with MeshNode(settings(folder, admin={"socket": folder / "state/web/worker-3/admin.sock"})):
            for file in ([], ["meshcache.toml"]):
                ended = meshcache("doctor", *file)
                assert "ok node: edge-1 in ams1 answers" in ended.out, ended
        ended = meshcache("doctor")
        assert f"-- node: none is asked: no node at {folder}/state/web/admin.sock" in ended.out
        assert f"(from admin.socket in {folder}/meshcache.toml)" in ended.out

    def test_the_variable_comes_before_the_file_in_this_folder_and_after_one_that_is_named(
        self, meshcache: Meshcache, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "meshcache.toml").write_text('[admin]\nsocket = "file.sock"\n')
        with (
            MeshNode(settings(folder, "by-file", admin={"socket": folder / "file.sock"})),
            MeshNode(settings(folder, "by-variable", admin={"socket": folder / "variable.sock"})),
        ):
            assert "ok node: by-file in" in meshcache("doctor").out
            monkeypatch.setenv("MESHCACHE_SOCKET", "variable.sock")
            assert "ok node: by-variable in ams1 answers (from $MESHCACHE_SOCKET)" in meshcache("doctor").out
            assert "ok node: by-file in" in meshcache("doctor", "meshcache.toml").out
            assert "ok node: by-variable in" in meshcache("doctor", "--socket", "variable.sock", "meshcache.toml").out
            monkeypatch.setenv("MESHCACHE_SOCKET", "none.sock")
            assert "there is no such socket (from $MESHCACHE_SOCKET)" in meshcache("doctor").out

    def test_of_a_file_whose_node_cant_be_asked_no_other_is(
        self, meshcache: Meshcache, node: MeshNode, folder: Path
    ) -> None:
        (folder / "meshcache.toml").write_text('[admin]\nsocket = "admin.sock"\n')
        (folder / "other.toml").write_text("[admin]\nsocket = false\n")
        assert "ok node: edge-1 in" in meshcache("doctor").out
        assert "other.toml has no admin socket" in meshcache("doctor", "other.toml").out
        assert "the file doesn't say where" in meshcache("doctor", "none.toml").out

    def test_a_file_with_faults_elsewhere_says_where_its_node_is(
        self, meshcache: Meshcache, node: MeshNode, folder: Path
    ) -> None:
        (folder / "other.toml").write_text('[admin]\nsocket = "admin.sock"\n[cache]\nmax_bytes = "many"\n')
        ended = meshcache("doctor", "other.toml")
        assert "!! file: other.toml: 1 fault" in ended.out
        assert "ok node: edge-1 in" in ended.out


def test_a_missing_key_is_told(meshcache: Meshcache, folder: Path) -> None:
    ended = meshcache("doctor", write(folder, listen="127.0.0.1:0"))
    assert ended.code == 3
    assert "!! mesh key:" in ended.out


def test_a_node_that_answers_with_an_error_is_a_problem(meshcache: Meshcache, folder: Path) -> None:
    class Broken(BusyNode):
        def stats(self) -> dict[str, Any]:
            raise RuntimeError("broken")

    with AdminServer(Broken(), AdminSettings(socket=folder / "broken.sock")):
        ended = meshcache("doctor", "--socket", folder / "broken.sock")
    assert ended.code == 3
    assert "!! node: it runs and does not answer as it should: the node at" in ended.out
    assert "answered 500" in ended.out
