"""Ticket keys go over the Unix socket to root and to the node's user, and to nobody else in any way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from meshcache import MeshNode
from meshcache.admin.client import AdminClient
from meshcache.admin.server import AdminServer
from meshcache.config import AdminSettings
from meshcache.errors import AdminError, PolicyError
from tests.admin.nodes import ask
from tests.nodes import settings
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Of all tests here: a node alone takes three seconds to its first key."""
    with TemporaryDirectory(prefix="mc-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[MeshNode]:
    vip = [{"name": "shop", "resumption": "tickets"}]
    with MeshNode(settings(folder, vip=vip)) as node:
        node.serve("shop")
        wait_until(lambda: node.policies.ticket_rings()[0]["keys"], what="there is a key")
        yield node


@pytest.fixture(scope="module")
def server(node: MeshNode, folder: Path) -> Iterator[AdminServer]:
    with AdminServer(node, AdminSettings(socket=folder / "admin.sock", http="127.0.0.1:0")) as server:
        yield server


@pytest.fixture
def client(server: AdminServer, folder: Path) -> AdminClient:
    return AdminClient(folder / "admin.sock")


def test_the_node_s_user_gets_files_and_names(node: MeshNode, client: AdminClient) -> None:
    files, keys = client.export_tickets("shop", "nginx", Path("/run/shop"))
    (ring,) = node.policies.ticket_rings()
    assert keys == [ring["keys"][0]["name"]]
    assert [len(content) for content in files.values()] == [80, len(files["tickets.conf"])]
    wait_until(lambda: any(f"user {os.geteuid()} (process {os.getpid()})" in event["text"] for event in node.events()))


def test_what_the_policy_refuses_says_why(client: AdminClient) -> None:
    with pytest.raises(PolicyError, match='no VIP "pay"'):
        client.export_tickets("pay", "nginx", Path("/run/pay"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"vip": "shop", "format": "nginx"}',
        b'{"vip": 1, "format": "nginx", "path": "/x"}',
        b"[" * 9999,
    ],
)
def test_bad_questions_are_bad_requests(client: AdminClient, body: bytes) -> None:
    with pytest.raises(AdminError, match="answered 400"):
        client.ask("POST", "/v1/tickets/export", body)


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "HEAD"])
def test_there_is_no_such_thing_over_http(server: AdminServer, method: str) -> None:
    assert ask(server, method, "/v1/tickets/export")[0] in (404, 405)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.usefixtures("server")
def test_another_user_gets_nothing_even_where_the_socket_lets_him_in(folder: Path) -> None:
    for path in (folder / "admin.sock", folder):
        path.chmod(0o777)
    body = '{"vip": "shop", "format": "nginx", "path": "/run/shop"}'
    curl = ["curl", "-s", "--unix-socket", str(folder / "admin.sock"), "-d", body, "http://node/v1/tickets/export"]
    asked = subprocess.run(curl, capture_output=True, text=True, user=65534, timeout=60, cwd="/")
    assert asked.stdout == '{"error":"ticket keys are given to root and to the user that runs the node"}'
    assert "files" in subprocess.run(curl, capture_output=True, text=True, timeout=60).stdout
