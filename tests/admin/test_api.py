"""What is answered and what is refused, over the real sockets."""

from __future__ import annotations

import http.client
import json
import logging
import socket

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from meshcache.admin.api import unix_app
from meshcache.admin.client import AdminClient
from meshcache.admin.server import AdminServer
from meshcache.errors import AdminError
from tests.admin.nodes import PlainNode, ask


def test_the_node_is_read_over_the_unix_socket(client: AdminClient) -> None:
    assert client.stats() == {"node": {"name": "edge-1"}}
    assert client.peers() == [{"name": "edge-2", "colo": "ams1"}]
    assert client.policy() == [{"vip": "shop", "reach": "colo"}]
    assert [event["seq"] for event in client.events()] == [1, 2]
    assert [event["seq"] for event in client.events(since=1)] == [2]


def test_the_http_port_answers_the_same(server: AdminServer, client: AdminClient) -> None:
    for target in ("/v1/stats", "/v1/peers", "/v1/policy", "/v1/events"):
        status, headers, body = ask(server, "GET", target)
        assert status == 200
        assert json.loads(body) == client.get(target)
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("target", ["/v1/stats", "/v1/policy/shop"])
def test_a_write_over_http_is_refused(server: AdminServer, method: str, target: str) -> None:
    status, headers, body = ask(server, method, target)
    assert status == 405
    assert headers["Allow"] == "GET,HEAD"
    assert "GET, HEAD only" in json.loads(body)["error"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "", "localhost.evil.example"])
def test_a_page_that_points_its_own_name_here_is_refused(server: AdminServer, host: str) -> None:
    assert ask(server, "GET", "/v1/stats", Host=host)[0] == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:9946", "[::1]:80", "[::1]", socket.gethostname(), "10.0.0.4:1"]
)
def test_the_machines_own_names_are_accepted(server: AdminServer, host: str) -> None:
    assert ask(server, "GET", "/v1/stats", Host=host)[0] == 200


def test_what_is_not_there_is_told_in_json(client: AdminClient) -> None:
    with pytest.raises(AdminError, match="answered 404: there is nothing at /v1/nothing"):
        client.get("/v1/nothing")
    with pytest.raises(AdminError, match="answered 400: since is"):
        client.get("/v1/events", since="-1")
    with pytest.raises(AdminError, match="answered 405: /v1/stats takes GET, HEAD only"):
        client.ask("POST", "/v1/stats")


def test_a_fault_of_the_node_tells_a_stranger_nothing_and_the_log_everything(
    node: PlainNode, client: AdminClient, caplog: pytest.LogCaptureFixture
) -> None:
    node.fault = RuntimeError("key 1234")
    with caplog.at_level(logging.ERROR), pytest.raises(AdminError, match="answered 500") as caught:
        client.stats()
    assert "1234" not in str(caught.value)
    assert "key 1234" in caplog.text
    node.fault = None
    assert client.stats()


async def test_nobody_can_write_a_line_of_the_log_with_a_path(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(_request: web.Request) -> web.Response:
        raise RuntimeError("a fault of ours")

    app = unix_app(PlainNode())
    app.router.add_get("/{any:(.|\\n)*}", fails)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get(URL("/%0A2026-11-30%20ERROR%20forged" + "x" * 500, encoded=True))
        assert answer.status == 500
    (record,) = caplog.records
    assert record.getMessage() == r"GET '/\n2026-11-30 ERROR forged" + "x" * 75 + "' failed"
    assert "\n" not in record.getMessage()


def test_a_viewer_that_has_left_already_is_no_fault(
    server: AdminServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def left(*_: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(web.StreamResponse, "prepare", left)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server, "GET", "/v1/stream")
    assert "failed" not in caplog.text
