"""Tests of `admin.certificate`, and of the port that takes a new one while it answers."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from meshcache.admin import api
from meshcache.admin import server as server_module
from meshcache.admin.certificate import AdminCertificate
from meshcache.admin.server import CONNECTIONS_MAX, AdminServer
from meshcache.admin.sockets import BoundedListener
from meshcache.config import AdminSettings
from meshcache.errors import ConfigError
from tests.admin.nodes import PlainNode
from tests.support.waiting import wait_until


class Files:
    """A pair on disk, and the authority that clients trust."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.private_key = folder / "admin.pem", folder / "admin.key"
        self.authority = trustme.CA()
        self.write(self.pair())

    def pair(self) -> trustme.LeafCert:
        return self.authority.issue_cert("127.0.0.1")

    def write(self, certificate: trustme.LeafCert, key: trustme.LeafCert | None = None) -> None:
        """As renewals do: another file under the same name."""
        chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
        for path, content in (
            (self.certificate, chain),
            (self.private_key, (key or certificate).private_key_pem.bytes()),
        ):
            fresh = path.with_suffix(".new")
            fresh.touch(0o600)
            fresh.write_bytes(content)
            fresh.replace(path)

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    @property
    def settings(self) -> AdminSettings:
        return AdminSettings(http="127.0.0.1:0", certificate=self.certificate, private_key=self.private_key)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def of(files: Files) -> AdminCertificate:
    certificate = AdminCertificate.of(files.settings)
    assert certificate is not None
    return certificate


def test_without_files_there_is_none() -> None:
    assert AdminCertificate.of(AdminSettings(http="127.0.0.1:0")) is None


def test_a_change_is_taken_once_and_when_it_is_over(files: Files) -> None:
    certificate = of(files)
    assert certificate.renewed() is None
    files.write(files.pair())
    assert certificate.renewed() is None, "it may go on changing"
    assert certificate.renewed() is not None
    assert certificate.renewed() is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: files.write(files.pair(), files.pair()),
        lambda files: files.certificate.write_bytes(b""),
        lambda files: files.private_key.unlink(),
        lambda files: (files.private_key.chmod(0o644), os.utime(files.private_key)),
    ],
    ids=["halves of two pairs", "empty", "gone", "open to others"],
)
def test_what_does_not_fit_is_told_once_and_not_used(
    files: Files, spoil: Callable[[Files], object], caplog: pytest.LogCaptureFixture
) -> None:
    certificate = of(files)
    spoil(files)
    assert [certificate.renewed() for _ in range(4)] == [None] * 4
    assert len([line for line in caplog.messages if "isn't taken yet" in line]) == 1
    files.write(files.pair())
    certificate.renewed()
    assert certificate.renewed() is not None


def test_a_key_that_others_can_read_is_no_start(files: Files) -> None:
    files.private_key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"admin\.private_key: .*0600"):
        of(files).context()


def test_a_fifo_does_not_hang_the_start(files: Files) -> None:
    files.certificate.unlink()
    os.mkfifo(files.certificate)
    with pytest.raises(ConfigError, match=r"admin\.certificate: .* is not a regular file"):
        of(files).context()


def test_the_port_answers_with_a_new_certificate_and_never_with_half_of_one(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "LOOK_S", 0.01)
    client = files.client()

    def served() -> str:
        host, _, port = str(server.http_address).rpartition(":")
        return ssl.get_server_certificate((host, int(port)))

    with AdminServer(PlainNode(), files.settings) as server:
        first = served()
        newer = files.pair()
        files.write(newer, files.pair())
        wait_until(lambda: "isn't taken yet" in caplog.text)
        assert served() == first
        files.write(newer)
        wait_until(lambda: served() != first)
        assert served().strip() == newer.cert_chain_pems[0].bytes().decode().strip()
        with urllib.request.urlopen(f"https://{server.http_address}/healthz", timeout=30, context=client) as answer:
            assert answer.status == 200


def test_a_new_certificate_waits_until_the_port_can_take_it(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where no descriptor is left, for the files and for a copy of the port's socket."""
    caplog.set_level("INFO", "meshcache.admin")
    monkeypatch.setattr(server_module, "LOOK_S", 0.01)
    tries: list[int] = []

    class Listener(BoundedListener):
        def __init__(self, *given: Any) -> None:
            tries.append(len(tries))
            if 0 < len(tries) - 1 <= 3:
                raise OSError(errno.EMFILE, "too many open files")
            super().__init__(*given)

    monkeypatch.setattr(server_module, "BoundedListener", Listener)
    with AdminServer(PlainNode(), files.settings) as server:
        newer = files.pair()
        files.write(newer)
        wait_until(lambda: "is renewed" in caplog.text)
        served = ssl.get_server_certificate(("127.0.0.1", int(str(server.http_address).rpartition(":")[2])))
        assert served.strip() == newer.cert_chain_pems[0].bytes().decode().strip()
    said = [message for message in caplog.messages if "certificate" in message]
    assert said == [
        "the new certificate of admin.http waits, and is tried again: [Errno 24] too many open files",
        "the certificate of admin.http is renewed",
    ]
    assert len(tries) == 5


def test_what_could_not_be_read_once_is_looked_at_again(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = of(files)
    files.write(files.pair())
    assert certificate.renewed() is None
    with monkeypatch.context() as patch:
        patch.setattr(ssl, "create_default_context", Full)
        assert [certificate.renewed() for _ in range(3)] == [None] * 3
    assert caplog.text.count("can't be used: too many open files") == 1
    assert certificate.renewed() is not None
    assert certificate.renewed() is None


class Full:
    """A context of a process that can open no file."""

    def __init__(self, purpose: ssl.Purpose) -> None:
        del purpose

    def load_cert_chain(self, *_files: object, **_more: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")


def test_an_answer_is_whole_for_a_client_that_wants_no_other_and_takes_its_time(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port begins to end TLS as soon as the answer waits to be sent."""
    monkeypatch.setattr(server_module, "STOP_S", 0.1)
    monkeypatch.setattr(api, "answer", lambda *_: web.Response(body=bytes(2**24)))
    with AdminServer(PlainNode(), files.settings) as server, speaks_tls(server, files) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert client.recv(1)
        time.sleep(1.0)
        size = 1
        while part := client.recv(2**20):
            size += len(part)
    assert size > 2**24


def test_who_does_not_end_tls_keeps_nobody_from_ending_the_port(files: Files) -> None:
    with AdminServer(PlainNode(), files.settings) as server, speaks_tls(server, files) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert client.recv(2**16)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < server_module.TLS_END_S / 2


def speaks_tls(server: AdminServer, files: Files) -> ssl.SSLSocket:
    return files.client().wrap_socket(connects(server), server_hostname="127.0.0.1")


def connects(server: AdminServer) -> socket.socket:
    host, _, port = str(server.http_address).rpartition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def open_ones(connections: list[socket.socket]) -> list[socket.socket]:
    """Those that the port hasn't closed; it sends nothing to who is silent."""
    return [each for each in connections if not select.select([each], [], [], 0)[0]]


def is_answered(server: AdminServer, client: ssl.SSLContext) -> bool:
    with urllib.request.urlopen(f"https://{server.http_address}/healthz", timeout=30, context=client) as answer:
        return bool(answer.status == 200)


def test_who_never_begins_tls_counts_among_the_connections(files: Files) -> None:
    client = files.client()
    with AdminServer(PlainNode(), files.settings) as server:
        silent = [connects(server) for _ in range(CONNECTIONS_MAX + 10)]
        try:
            wait_until(lambda: len(open_ones(silent)) <= CONNECTIONS_MAX)
            assert open_ones(silent) == silent[:CONNECTIONS_MAX]
            silent[0].close()
            wait_until(lambda: is_answered(server, client), what="one that ends makes room")
        finally:
            for connection in silent:
                connection.close()


def test_who_never_begins_tls_or_never_ends_it_is_let_go(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_S", 3.0)  # in which the one below has to shake hands, too
    monkeypatch.setattr(server_module, "TLS_END_S", 0.5)
    client = files.client()
    with AdminServer(PlainNode(), files.settings) as server, connects(server) as silent, connects(server) as half:
        idle = client.wrap_socket(connects(server), server_hostname="127.0.0.1")
        idle.setblocking(False)  # it won't read what the port says as it ends: for asyncio the end takes 30 s then
        half.sendall(b"\x16\x03\x01")
        for each in (silent, half, idle):
            wait_until(lambda each=each: is_gone(each), 25.0, what="a connection that says nothing is closed")


def is_gone(connection: socket.socket) -> bool:
    """Look past TLS: whether the kernel has this connection's end."""
    with socket.socket(fileno=os.dup(connection.fileno())) as raw:
        state = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in (7, 8)  # TCP_CLOSE, TCP_CLOSE_WAIT
