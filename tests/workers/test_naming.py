from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from meshcache import ConfigError, read_config
from meshcache.config.settings import default_node_name
from meshcache.workers.naming import host_of, worker_settings
from tests.support.material import free_ports


def file(folder: Path, node: str = "", admin: str = "", mesh: str = "") -> Path:
    path = folder / "meshcache.toml"
    path.write_text(f"[node]\n{node}\n[mesh]\n{mesh}\n[admin]\n{admin}\n[[vip]]\nname = 'shop'\n")
    return path


def test_each_worker_has_a_name_a_folder_a_port_and_a_socket_of_its_own(folder: Path) -> None:
    path = file(folder, "name = 'web-1'", mesh="listen = '127.0.0.1:7946'")
    (one, first), (other, _) = worker_settings(path), worker_settings(path)
    assert (one.node.name, other.node.name) == (f"web-1.{first.tag}.w0", f"web-1.{first.tag}.w1")
    assert one.node.state_dir == folder / "state" / "web-1" / "worker-0"
    assert one.admin.socket == one.node.state_dir / "admin.sock"
    assert other.admin.socket == other.node.state_dir / "admin.sock" != one.admin.socket
    assert one.mesh.listen == "127.0.0.1:0"
    assert host_of(one.node.name) == host_of(other.node.name) == f"web-1.{first.tag}"
    first.release()
    assert worker_settings(path)[0].node.name == one.node.name, "the next worker in the slot has its name"


def test_workers_listen_on_the_ports_of_their_numbers(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = sorted(free_ports(3))
    with socket.create_server(("127.0.0.1", third)):
        path = file(folder, mesh=f"listen = '127.0.0.1:7946'\nworker_ports = '{third}-{third}'")
        one, other = worker_settings(path), worker_settings(path)
        assert [each.mesh.listen for each, _ in (one, other)] == ["127.0.0.1:0", "127.0.0.1:0"]
        assert [record.getMessage() for record in caplog.records] == [
            f"mesh.worker_ports: worker 0 has any free port: {third}: address already in use",
            f"mesh.worker_ports: worker 1 is beyond {third}-{third}, and has any free port",
        ]
    for _, slot in (one, other):
        slot.release()
    path = file(folder, mesh=f"listen = '127.0.0.1:7946'\nworker_ports = '{first}-{65535}'\nadvertise = '127.0.0.9:1'")
    settings, slot = worker_settings(path)
    assert (settings.mesh.listen, settings.mesh.advertise) == (f"127.0.0.1:{first}", f"127.0.0.9:{first}")
    assert second > first
    with socket.create_server(("127.0.0.1", first)):  # as its node does from then on
        again, _ = worker_settings(path, slot=slot)
    assert again == settings, "one that reads its file again has its port already"


def test_what_all_workers_would_tell_as_their_address_is_left_out(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody listens there: each worker has a port of its own."""
    settings, slot = worker_settings(file(folder, mesh="advertise = '10.0.0.4:7946'"))
    assert settings.mesh.advertise is None
    assert "mesh.advertise: left out" in caplog.text
    caplog.clear()
    worker_settings(folder / "meshcache.toml", slot=slot)
    assert not caplog.records, "told once"


def test_without_a_name_it_is_the_host_s(folder: Path) -> None:
    name = worker_settings(file(folder))[0].node.name
    assert re.fullmatch(re.escape(default_node_name()) + r"\.[0-9a-f]{6}\.w0", name)


def test_a_name_with_a_placeholder_for_the_worker_is_taken_as_it_stands(folder: Path) -> None:
    path = file(folder, "name = 'web-{worker}'", admin="socket = 'run/{worker}.sock'")
    one, other = worker_settings(path)[0], worker_settings(path)[0]
    assert (one.node.name, other.node.name) == ("web-0", "web-1")
    assert (one.admin.socket, other.admin.socket) == (folder / "run/0.sock", folder / "run/1.sock")
    assert one.node.state_dir.parent == other.node.state_dir.parent, "or they would not find each other"


def test_a_process_number_is_not_enough_for_a_name_nor_a_folder(folder: Path) -> None:
    settings, slot = worker_settings(file(folder, "name = 'web-{pid}'"))
    assert settings.node.name == f"web-{os.getpid()}.{slot.tag}.w0"
    assert settings.node.state_dir == folder / "state" / "web-0" / "worker-0"


def test_a_socket_that_the_file_turns_off_or_names_once_is_no_worker_s(folder: Path) -> None:
    assert worker_settings(file(folder, admin="socket = false"))[0].admin.socket is None
    settings = worker_settings(file(folder, "state_dir = 's'", admin="socket = 'one.sock'"))[0]
    assert settings.admin.socket == folder / "s" / "worker-0" / "admin.sock"


def test_a_path_too_long_for_a_socket_leaves_the_worker_without_one(folder: Path) -> None:
    deep = "d" * (107 - len(f"{folder}//admin.sock"))
    assert worker_settings(file(folder, f"state_dir = '{deep}'"))[0].admin.socket is None


def test_a_long_name_is_cut_so_that_the_slot_still_shows(folder: Path) -> None:
    name = worker_settings(file(folder, f"name = '{'n' * 64}'"))[0].node.name
    assert len(name) <= 64
    assert name.endswith(".w0")


def test_a_file_that_is_wrong_leaves_the_slot_free(folder: Path) -> None:
    with pytest.raises(ConfigError):
        worker_settings(file(folder, "name = 'web-0'", admin="socket = '" + "{pid}" * 60 + "'"))
    assert worker_settings(file(folder, "name = 'web-0'"))[1].number == 0


def test_settings_are_made_of_one_content_whatever_the_file_holds_by_then(folder: Path) -> None:
    path = file(folder, "name = 'web-1'")
    content = read_config(path)
    path.write_text("no TOML")
    settings, slot = worker_settings(path, ["node.colo=ams1"], content=content)
    assert (settings.node.name, settings.node.colo) == (f"web-1.{slot.tag}.w0", "ams1")
    with pytest.raises(ConfigError, match="not TOML"):
        worker_settings(path, slot=slot)


def test_a_node_that_is_no_worker_is_its_own_host() -> None:
    assert host_of("edge-1") == "edge-1"
    assert host_of("www.w") == "www.w"
    assert host_of("host.west") == "host.west"


def test_the_number_is_told_before_anything_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    logged: dict[int, str] = {}

    def note(number: int) -> None:
        logged[number] = caplog.text

    path = file(folder, mesh="advertise = '10.0.0.4:7946'")
    for _ in range(2):
        caplog.clear()
        worker_settings(path, numbered=note)
        assert "mesh.advertise: left out" in caplog.text
    assert logged == {0: "", 1: ""}
