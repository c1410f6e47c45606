"""`check` names every fault, of the file and of what it points at, and changes nothing."""

from __future__ import annotations

import json
import socket as sockets
from pathlib import Path

import pytest
from meshcache_server.tls import streams

from meshcache import hot
from meshcache.admin.server import AdminServer
from meshcache.cli.server_steps import server_steps
from meshcache.config import AdminSettings, load
from tests.cli.conftest import BusyNode, Meshcache


@pytest.fixture
def file(meshcache: Meshcache, tmp_path: Path) -> Path:
    """A good file on free ports."""
    meshcache("init")
    path = tmp_path / "meshcache.toml"
    path.write_text(
        path.read_text().replace("127.0.0.1:8443", "127.0.0.1:0").replace('"127.0.0.1:7946" ', '"127.0.0.1:0" ')
    )
    return path


def test_a_good_file_is_fine(meshcache: Meshcache, file: Path) -> None:
    ended = meshcache("check", file)
    assert ended.code == 0
    assert ended.err == ""
    assert ended.out.startswith(f"{file}: fine: 1 VIP on node edge-1 in colo local\n")


def test_a_hot_path_in_python_is_a_note(meshcache: Meshcache, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "compiled", None)
    monkeypatch.setattr(hot, "why_not", "MESHCACHE_PURE is set")
    ended = meshcache("check", file)
    assert ended.code == 0
    assert "the hot path is in Python: MESHCACHE_PURE is set; handshakes take more CPU" in ended.out


def test_a_server_whose_own_steps_are_in_python_is_a_note(
    meshcache: Meshcache, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "compiled", object())
    monkeypatch.setattr(streams, "compiled", None)
    ended = meshcache("check", file)
    assert ended.code == 0
    assert "the bundled server's connections are in Python; they take more CPU" in ended.out


def test_the_file_in_this_folder_is_the_default(meshcache: Meshcache, file: Path) -> None:
    assert file.exists()
    assert meshcache("check").out.startswith("meshcache.toml: fine")


def test_faults_are_named_all_at_once_and_exit_with_2(meshcache: Meshcache, file: Path) -> None:
    (file.parent / "mesh.key").unlink()
    (file.parent / "test.key").chmod(0o644)
    with sockets.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = meshcache("check", file, "--set", f"vip.shop.listen={address}")
    assert ended.code == 2
    assert ended.err.splitlines()[0] == f"{file}: 3 faults:"
    assert [line.split(":")[0].strip() for line in ended.err.splitlines()[1:]] == [
        "mesh.key_file",
        "vip[0].private_key",
        "vip[0].listen[0]",
    ]


def test_json_has_the_same_for_programs(meshcache: Meshcache, file: Path) -> None:
    good = json.loads(meshcache("check", file, "--json").out)
    assert good == {
        "file": str(file),
        "faults": [],
        "notes": [],
        "hot_path": hot.path(),
        "server_steps": server_steps(),
    }
    bad = meshcache("check", file, "--json", "--set", "node.nam=x")
    assert bad.code == 2
    assert json.loads(bad.out)["faults"] == ['node.nam: unknown key; did you mean "name"?']
    assert bad.err == ""


def test_a_note_is_shown_and_is_no_failure(meshcache: Meshcache, file: Path) -> None:
    ended = meshcache("check", file, "--set", 'vip.shop.sharing.reach=["ams1"]')
    assert ended.code == 0
    assert "! vip[0].sharing.reach: lists ams1 and not this node's own colo" in ended.out


def test_tickets_beside_a_policy_are_a_fault_as_serve_refuses_them(meshcache: Meshcache, file: Path) -> None:
    policy = ("--set", 'hooks.policies=["tests.plugins.hooks:Refuses"]')
    assert meshcache("check", file, *policy).code == 0
    ended = meshcache("check", file, *policy, "--set", "vip.shop.resumption=tickets")
    assert ended.code == 2
    assert "vip[0].resumption: is tickets, and a node with a sharing policy of its own" in ended.err


def test_the_addresses_of_the_node_itself_are_not_held_against_it(meshcache: Meshcache, file: Path) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as own:
        address = f"vip.shop.listen=127.0.0.1:{own.getsockname()[1]}"
        path = load(file).admin.socket
        with AdminServer(BusyNode(), AdminSettings(socket=path)):
            assert meshcache("check", file, "--set", address).code == 0
            other = meshcache(
                "check", file, "--set", address, "--set", "node.name=edge-9", "--set", f"admin.socket={path}"
            )
    assert other.code == 2
    assert "admin.socket: another process answers at" in other.err
    assert "is in use by another process" in other.err


def test_a_missing_file_is_a_fault_with_a_way_out(meshcache: Meshcache) -> None:
    ended = meshcache("check")
    assert ended.code == 2
    assert "meshcache.toml: no such file; `meshcache init` writes one" in ended.err
