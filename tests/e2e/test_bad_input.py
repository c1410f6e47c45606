"""What people and strangers get wrong: files that can't be used end with 2 and a list; garbage costs one connection."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.material import Node
from tests.support.mesh import Mesh
from tests.support.processes import Processes, meshcache
from tests.support.programs import s_client
from tests.support.waiting import wait_until

Make = Callable[..., list[Node]]


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


FAULTS: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "unknown key": (lambda file, _: change(file, "[mesh]", "[mesh]\ncolour = 3"), "colour"),
    "wrong type": (lambda file, _: change(file, "mdns = false", 'mdns = "perhaps"'), "mesh.mdns"),
    "not toml": (lambda file, _: change(file, "[mesh]", "[mesh"), "line"),
    "missing certificate": (lambda _, folder: (folder / "shop.pem").unlink(), "shop.pem"),
    "bad certificate": (lambda _, folder: _write(folder / "shop.pem", "no certificate"), "shop.pem"),
    "bad private key": (lambda _, folder: _write(folder / "shop.key", "no key"), "shop.key"),
    "mesh key others can read": (lambda _, folder: (folder / "mesh.key").chmod(0o644), "mesh.key"),
    "missing mesh key": (lambda _, folder: (folder / "mesh.key").unlink(), "mesh.key"),
    "two vips of one name on one address": (lambda file, _: _twin(file, 'name = "twin"'), "answers for shop.example"),
    "name not covered": (lambda file, _: change(file, 'names = ["shop.example"]', 'names = ["bank.example"]'), "bank"),
}


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _twin(file: Path, name: str) -> None:
    vip = file.read_text().split("[[vip]]")[1].replace('name = "shop"', name)
    file.write_text(f"{file.read_text()}\n[[vip]]{vip}")


@pytest.mark.parametrize("fault", FAULTS)
def test_check_and_serve_name_the_fault_and_exit_with_2(
    processes: Processes, make_nodes: Make, folder: Path, fault: str
) -> None:
    (node,) = make_nodes("edge-1")
    spoil, named = FAULTS[fault]
    spoil(node.file, folder)
    for process in [processes.meshcache(command, node.file) for command in ("check", "serve")]:
        code = process.wait()
        assert code == 2, process.output
        assert named in process.output
        assert "Traceback" not in process.output


def test_every_fault_is_named_at_once(make_nodes: Make, folder: Path) -> None:
    (node,) = make_nodes("edge-1")
    change(node.file, "[mesh]", "[mesh]\ncolour = 3")
    change(node.file, "mdns = false", 'mdns = "perhaps"')
    change(node.file, 'reach = "colo"', 'reach = "far"')
    told = meshcache("check", node.file)
    assert told.returncode == 2
    for place in ("mesh.colour", "mesh.mdns", "reach"):
        assert place in told.stdout + told.stderr


@pytest.mark.parametrize("taken", ["mesh_port", "tls_port"])
def test_a_port_in_use_is_named_and_ends_with_2(make_nodes: Make, taken: str) -> None:
    (node,) = make_nodes("edge-1")
    port = getattr(node, taken)
    with socket.create_server(("127.0.0.1", port)):
        done = meshcache("serve", node.file)
    assert done.returncode == 2, done.stdout + done.stderr
    assert str(port) in done.stdout + done.stderr


def test_a_good_file_is_fine_and_says_so(make_nodes: Make) -> None:
    (node,) = make_nodes("edge-1")
    done = meshcache("check", node.file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_garbage_on_the_tls_port_costs_that_connection_only(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    (node,) = make_nodes("edge-1")
    process = mesh.start(node)
    mesh.wait_until_ready(node)
    slow = socket.create_connection(node.tls)
    slow.sendall(b"\x16\x03\x01")
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\x16\x03\x01\xff\xff" + bytes(100), b"\x00"):
        with socket.create_connection(node.tls, 10) as stranger:
            stranger.sendall(garbage)
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(4096):
                pass

    assert s_client(node.tls, folder, "1.2")[0]["session"] == "full"
    assert s_client(node.tls, folder, "1.3")[0]["session"] == "full"
    slow.close()
    wait_until(lambda: mesh.shop(node)["handshakes"]["failed"] >= 4, what="each is counted")
    assert process.running
    assert "Traceback" not in process.output


def test_garbage_on_the_mesh_port_disturbs_nobody(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    first, second = nodes = make_nodes("edge-1", "edge-2")
    for node in nodes:
        mesh.start(node)
    mesh.wait_until_ready(*nodes)
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\xff" + bytes(8) + b"\x7f\x03" + bytes(53)):
        with socket.create_connection(("127.0.0.1", first.mesh_port), 10) as stranger:
            stranger.sendall(garbage)
    mesh.wait_until_met(nodes)
    saved = str(folder / "s.pem")
    s_client(first.tls, folder, "1.3", "-sess_out", saved)
    assert s_client(second.tls, folder, "1.3", "-sess_in", saved)[0]["session"] == "remote"
