"""The admin interface, over real sockets: who may connect, what is answered, what is refused, what is left behind."""

from __future__ import annotations

import http.client
import logging
import os
import select
import signal
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
from aiohttp import web

from meshcache.admin import api
from meshcache.admin import server as server_module
from meshcache.admin.client import AdminClient
from meshcache.admin.server import CONNECTIONS_MAX, AdminServer
from meshcache.config import AdminSettings
from meshcache.errors import AdminError, ConfigError
from tests.admin.nodes import PlainNode, ask
from tests.support.waiting import wait_until


def test_only_the_owner_may_reach_the_socket(client: AdminClient) -> None:
    assert stat.S_IMODE(client.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(client.path.parent.stat().st_mode) == 0o700


def test_the_umask_of_the_program_is_left_alone(node: PlainNode, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with AdminServer(node, AdminSettings(socket=tmp_path / "admin.sock")):
            assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o600
            assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_garbage_costs_that_connection_only(server: AdminServer, client: AdminClient) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(client.path))
        stranger.settimeout(60)
        stranger.sendall(b"\x16\x03\x01" + os.urandom(512) + b"\r\n\r\n")
        assert stranger.recv(64).startswith(b"HTTP/1.")
    assert client.stats()


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\n\nERROR\r\n\r\n", b"GET / HTTP/1.1\r\nX\n: y\r\n\r\n", b"GET / HTTP/9\r\n\r\n"]
)
def test_what_is_no_http_is_no_line_of_the_log(
    server: AdminServer, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    host, port = str(server.http_address).split(":")
    with socket.create_connection((host, int(port)), timeout=60) as stranger:
        stranger.sendall(garbage)
        assert b" 400 " in stranger.recv(64)
        assert closes_within(stranger, 30.0)
    assert not [record for record in caplog.records if record.name != "meshcache.admin" or record.exc_info]


def test_a_fault_that_aiohttp_finds_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("meshcache.admin.requests")
    for error in (RuntimeError("ours"), ConnectionResetError("theirs")):
        log.error("unhandled", exc_info=error)
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records] == ["ours"]


def test_connections_over_the_limit_are_closed_at_once(server: AdminServer) -> None:
    assert server.http_address is not None
    host, port = server.http_address.split(":")
    held = [socket.create_connection((host, int(port)), timeout=30) for _ in range(CONNECTIONS_MAX)]
    try:
        for connection in held:  # a whole exchange on each: all of them are known to be counted
            connection.sendall(b"GET /v1/peers HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        with socket.create_connection((host, int(port)), timeout=30) as one_more:
            assert closes_within(one_more, 30.0)
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: ask(server, "GET", "/v1/stats")[0] == 200)


def test_a_drip_of_header_bytes_is_cut_off(node: PlainNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_S", 0.3)
    with AdminServer(node, AdminSettings(socket=tmp_path / "admin.sock")), socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(tmp_path / "admin.sock"))
        slow.settimeout(0.05)
        slow.sendall(b"GET /v1/stats HTTP/1.1\r\nX: ")
        assert closes_within(slow, 10.0)


def closes_within(connection: socket.socket, seconds: float) -> bool:
    """Drip one byte at a time until the other side has closed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            connection.sendall(b"x")
            if connection.recv(1) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_asks_on_and_on_and_never_reads_is_let_go(
    method: str, node: PlainNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "IDLE_S", 3.0)
    monkeypatch.setattr(server_module, "CONNECTIONS_MAX", 4)
    monkeypatch.setattr(api, "answer", lambda *_: web.Response(text="x" * 2**20))
    with AdminServer(node, AdminSettings(socket=None, http="127.0.0.1:0")) as server:
        host, port = str(server.http_address).split(":")
        held = [socket.create_connection((host, int(port)), timeout=30) for _ in range(4)]
        try:
            for connection in held:
                target = "/healthz" if method == "GET" else "/v1/nothing"
                connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() * 30)
            wait_until(lambda: not is_answered(server), 30.0, what="all places are taken")
            wait_until(lambda: is_answered(server), 30.0, what="there is room again")
        finally:
            for connection in held:
                connection.close()


def is_answered(server: AdminServer) -> bool:
    try:
        return ask(server, "GET", "/healthz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_connections_over_the_limit_are_closed_at_once_on_the_socket_too(
    server: AdminServer, client: AdminClient
) -> None:
    held = [socket.socket(socket.AF_UNIX) for _ in range(CONNECTIONS_MAX + 1)]
    try:
        for connection in held:
            connection.settimeout(30)
            connection.connect(str(client.path))
        assert closes_within(held[-1], 30.0)
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: bool(client.stats()))


def test_closing_leaves_no_file_and_no_thread_behind(node: PlainNode, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    server = AdminServer(node, AdminSettings(socket=path, http="127.0.0.1:0")).start()
    assert path.exists()
    server.close()
    server.close()
    assert not path.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "meshcache-admin"]
    with pytest.raises(AdminError, match="no such socket"):
        AdminClient(path).stats()


def test_the_log_says_where_the_dashboard_is(node: PlainNode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "meshcache.admin")
    with AdminServer(node, AdminSettings(socket=None, http="127.0.0.1:0")) as server:
        assert f"dashboard: http://{server.http_address}/, and /metrics for Prometheus" in caplog.messages


def test_without_the_http_port_the_log_speaks_of_no_dashboard(
    node: PlainNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "meshcache.admin")
    with AdminServer(node, AdminSettings(socket=tmp_path / "admin.sock")):
        assert not [message for message in caplog.messages if "dashboard" in message]


def test_an_open_connection_does_not_keep_the_node_from_stopping(node: PlainNode, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    server = AdminServer(node, AdminSettings(socket=path)).start()
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(str(path))
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 5.0


def test_neither_socket_is_open_when_one_cannot_be_had(node: PlainNode, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"admin.http: {address} can't be had: address already in use"):
            AdminServer(node, AdminSettings(socket=path, http=address)).start()
    assert not path.exists()


def test_without_sockets_there_is_no_thread(node: PlainNode) -> None:
    with AdminServer(node, AdminSettings(socket=None)) as server:
        assert server.http_address is None
        assert not [thread for thread in threading.enumerate() if thread.name == "meshcache-admin"]


def test_a_forked_child_does_not_keep_the_socket_alive_after_its_parent(node: PlainNode, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    server = AdminServer(node, AdminSettings(socket=path)).start()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        server.forked()
        os.write(tell, b"x")
        signal.pause()
    try:
        wait_until(lambda: select.select([told], [], [], 0)[0])
        assert AdminClient(path).stats()
        server.close()
        with pytest.raises(AdminError, match="no such socket"):
            AdminClient(path).stats()
        assert not path.exists()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)


def test_a_port_that_another_worker_has_is_left_to_it_where_it_is_not_needed(tmp_path: Path) -> None:
    with AdminServer(PlainNode(), AdminSettings(socket=None, http="127.0.0.1:0")) as first:
        settings = AdminSettings(socket=tmp_path / "admin.sock", http=first.http_address)
        with AdminServer(PlainNode(), settings, http_needed=False) as second:
            assert second.http_address is None
        with pytest.raises(ConfigError, match=r"admin\.http"):
            AdminServer(PlainNode(), settings).start()
