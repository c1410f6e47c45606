"""The demo's clients against a plain TLS server in this process: they come back with a session, and say so truly."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from socket import create_server, socket

import pytest

from meshcache.demo.clients import DemoClient, Visit, clients
from meshcache.demo.files import SERVERS, VIPS, DemoFiles, Endpoint, build
from meshcache.demo.servers import DemoError

ENDPOINT = Endpoint(VIPS[0], SERVERS[0])


class PlainServer:
    """Answers as the built-in responder does, from OpenSSL's own session cache and tickets."""

    def __init__(self, files: DemoFiles, body: bytes | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(files.authority(ENDPOINT.vip), files.folder / "storefront.key")
        self.listener = create_server(files.address(ENDPOINT))
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
def files(folder: Path) -> DemoFiles:
    return build(folder, mdns=False)


@pytest.fixture
def server(files: DemoFiles) -> Iterator[PlainServer]:
    plain = PlainServer(files)
    yield plain
    plain.listener.close()


def test_there_are_two_clients_in_two_protocol_versions(files: DemoFiles) -> None:
    assert [(client.label, client.tls) for client in clients(files)] == [
        ("openssl s_client", "1.2"),
        ("openssl s_client", "1.3"),
        ("Python ssl", "1.2"),
        ("Python ssl", "1.3"),
    ]


@pytest.mark.parametrize("number", range(4))
def test_a_client_comes_back_with_its_session(files: DemoFiles, server: PlainServer, number: int) -> None:
    client: DemoClient = clients(files)[number]
    first = client.visit(ENDPOINT)
    again = client.visit(ENDPOINT, first.ticket)
    assert (first.outcome, first.resumed) == ("full", False)
    assert (again.outcome, again.resumed) == ("local", True)


@pytest.mark.parametrize("number", [0, 2])
def test_an_endpoint_where_nobody_answers_stops_the_demo_with_its_name(files: DemoFiles, number: int) -> None:
    with pytest.raises(DemoError, match=r"failed at shop on edge-1 \(ams1\)"):
        clients(files)[number].visit(ENDPOINT)


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("body", [b"hello", b'{"server": "edge-1"}', b"{broken}"])
def test_an_answer_of_something_else_stops_the_demo(files: DemoFiles, number: int, body: bytes) -> None:
    plain = PlainServer(files, body)
    try:
        with pytest.raises(DemoError, match="what no built-in responder would"):
            clients(files)[number].visit(ENDPOINT)
    finally:
        plain.listener.close()


def test_a_client_and_a_server_that_disagree_are_told_apart() -> None:
    assert Visit("edge-1", "remote", "edge-2", resumed=False, ticket=None).outcome == "remote, but the client says new"
    assert Visit("edge-1", "full", None, resumed=True, ticket=None).outcome == "full, but the client says resumed"


def test_without_openssl_the_demo_says_what_to_install(files: DemoFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DemoError, match="there is no openssl program"):
        clients(files)
