"""The demo's clients against a plain TLS server in this process: they come back with a session, and say so truly."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from socket import create_server, socket

import pytest

from meshcache.demo.clients import Client, Visit, clients
from meshcache.demo.servers import DemoError
from meshcache.demo.stage import SERVERS, VIPS, Endpoint, Stage, build

ENDPOINT = Endpoint(VIPS[0], SERVERS[0])


class PlainServer:
    """Answers as the built-in responder does, from OpenSSL's own session cache and tickets."""

    def __init__(self, stage: Stage, body: bytes | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(stage.authority(ENDPOINT.vip), stage.folder / "storefront.key")
        self.listener = create_server(stage.address(ENDPOINT))
        self.body = body
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self._answer(connection)

    def _answer(self, connection: socket) -> None:
        try:
            with self.context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(4096)
                session = "local" if tls.session_reused else "full"
                body = self.body or json.dumps({"server": "edge-1", "session": session, "origin": None}).encode()
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s\n" % (len(body) + 1, body))
                tls.unwrap()
        except OSError:
            pass


@pytest.fixture
def stage(folder: Path) -> Stage:
    return build(folder, mdns=False)


@pytest.fixture
def server(stage: Stage) -> Iterator[PlainServer]:
    plain = PlainServer(stage)
    yield plain
    plain.listener.close()


def test_there_are_two_clients_in_two_protocol_versions(stage: Stage) -> None:
    assert [(client.label, client.tls) for client in clients(stage)] == [
        ("openssl s_client", "1.2"),
        ("openssl s_client", "1.3"),
        ("Python ssl", "1.2"),
        ("Python ssl", "1.3"),
    ]


@pytest.mark.parametrize("number", range(4))
def test_a_client_comes_back_with_its_session(stage: Stage, server: PlainServer, number: int) -> None:
    client: Client = clients(stage)[number]
    first = client.visit(ENDPOINT)
    again = client.visit(ENDPOINT, first.ticket)
    assert (first.outcome, first.resumed) == ("full", False)
    assert (again.outcome, again.resumed) == ("local", True)


@pytest.mark.parametrize("number", [0, 2])
def test_an_endpoint_where_nobody_answers_stops_the_demo_with_its_name(stage: Stage, number: int) -> None:
    with pytest.raises(DemoError, match=r"failed at shop on edge-1 \(ams1\)"):
        clients(stage)[number].visit(ENDPOINT)


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("body", [b"hello", b'{"server": "edge-1"}', b"{broken}"])
def test_an_answer_of_something_else_stops_the_demo(stage: Stage, number: int, body: bytes) -> None:
    plain = PlainServer(stage, body)
    try:
        with pytest.raises(DemoError, match="what no built-in responder would"):
            clients(stage)[number].visit(ENDPOINT)
    finally:
        plain.listener.close()


def test_a_client_and_a_server_that_disagree_are_told_apart() -> None:
    assert Visit("edge-1", "remote", "edge-2", resumed=False, ticket=None).outcome == "remote, but the client says new"
    assert Visit("edge-1", "full", None, resumed=True, ticket=None).outcome == "full, but the client says resumed"


def test_without_openssl_the_demo_says_what_to_install(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DemoError, match="there is no openssl program"):
        clients(stage)
