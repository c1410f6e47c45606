"""The node is found by option, variable or file, in this order; a message says where it was looked for."""

from __future__ import annotations

import os
import socket as sockets
from pathlib import Path

import pytest

from meshcache.admin.server import AdminServer
from meshcache.cli import target
from meshcache.config import AdminSettings
from tests.cli.conftest import BusyNode, Meshcache


def test_the_option_wins_over_the_variable_and_the_variable_over_the_file(
    meshcache: Meshcache, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("meshcache.toml").write_text('[admin]\nsocket = "admin.sock"\n')
    assert meshcache("peers", "--json").code == 0
    monkeypatch.setenv("MESHCACHE_SOCKET", "nowhere.sock")
    ended = meshcache("peers", "--json")
    assert (ended.code, ended.err) == (
        1,
        "meshcache: no node at nowhere.sock: there is no such socket (from $MESHCACHE_SOCKET)\n",
    )
    assert meshcache("peers", "--json", "--socket", socket).code == 0


def test_without_any_of_them_it_says_what_it_looked_for(meshcache: Meshcache, tmp_path: Path) -> None:
    ended = meshcache("stats")
    assert ended.code == 1
    for looked in (f"There is no meshcache.toml in {tmp_path}", "$MESHCACHE_SOCKET is not set", "--socket"):
        assert looked.lower() in ended.err.lower()


def test_the_other_node_of_the_same_file_is_named(meshcache: Meshcache, tmp_path: Path) -> None:
    Path("meshcache.toml").write_text('[node]\nname = "edge-1"\n')
    other = tmp_path / "state/edge-2/admin.sock"
    other.parent.mkdir(parents=True)
    other.touch()
    ended = meshcache("stats")
    assert ended.code == 1
    assert f"no node at {tmp_path}/state/edge-1/admin.sock" in ended.err
    assert f"(from admin.socket in {tmp_path}/meshcache.toml)" in ended.err
    assert f"--socket {other}" in ended.err


def test_a_broken_file_is_a_fault_of_configuration(meshcache: Meshcache) -> None:
    Path("meshcache.toml").write_text("[node\n")
    ended = meshcache("stats")
    assert ended.code == 2
    assert "meshcache.toml, line 1, column 6: not TOML: expected ']'" in ended.err


def test_a_node_is_found_whatever_else_is_wrong_in_its_file(meshcache: Meshcache, socket: Path) -> None:
    Path("meshcache.toml").write_text(f'[admin]\nsocket = "{socket}"\n[[vip]]\nname = "shop"\ncopies = "some"\n')
    assert meshcache("peers", "--json").code == 0
    Path("meshcache.toml").write_text(f'[admin]\nsocket = "{socket}"\nhttp = 7\n')
    ended = meshcache("peers", "--json")
    assert ended.code == 2
    assert "admin.http" in ended.err


def test_a_node_without_a_socket_cannot_be_asked(meshcache: Meshcache) -> None:
    Path("meshcache.toml").write_text("[admin]\nsocket = false\n")
    ended = meshcache("stats")
    assert ended.code == 1
    assert "has no admin socket" in ended.err


def test_where_only_workers_run_the_first_that_answers_is_asked(
    meshcache: Meshcache, node: BusyNode, tmp_path: Path
) -> None:
    Path("meshcache.toml").write_text('[node]\nname = "web"\n')
    dead = tmp_path / "state/web/worker-0/admin.sock"
    dead.parent.mkdir(parents=True)
    dead.touch()
    with AdminServer(node, AdminSettings(socket=tmp_path / "state/web/worker-10/admin.sock")):
        assert meshcache("peers", "--json").code == 0


def test_a_worker_is_found_beside_what_is_left_of_one_process_and_by_its_own_name(
    meshcache: Meshcache, node: BusyNode, tmp_path: Path
) -> None:
    with AdminServer(node, AdminSettings(socket=tmp_path / "state/web/worker-1/admin.sock")):
        for own, file in (
            (tmp_path / "state/web/admin.sock", ""),
            (tmp_path / "own.sock", '[admin]\nsocket="own.sock"'),
        ):
            Path("meshcache.toml").write_text(f'[node]\nname = "web"\n{file}')
            assert meshcache("peers", "--json").code == 0
            with sockets.socket(sockets.AF_UNIX) as left:
                left.bind(str(own))
            assert meshcache("peers", "--json").code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_the_folder_of_another_users_worker_is_asked_which_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state/worker-2").mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        found = target._of_a_worker(tmp_path / "state", tmp_path / "state/admin.sock")
    finally:
        os.seteuid(0)
    assert found == tmp_path / "state/worker-2/admin.sock"


def test_a_folder_of_another_users_is_left_to_whoever_asks_there(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    state_dir.mkdir(mode=0o000)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may look anywhere
        with pytest.raises(PermissionError):
            (state_dir / "admin.sock").exists()
        assert target._of_a_worker(state_dir, state_dir / "admin.sock") == state_dir / "admin.sock"
    finally:
        os.seteuid(user)
