"""Tests of `server.connection`: real sockets, real TLS clients, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import gc
import json
import select
import socket
import ssl
import time
import weakref
from contextlib import suppress

import pytest
from meshcache_server.applications.application import Application, Client
from meshcache_server.applications.responder import Responder
from meshcache_server.connections.connection import LINGER_S, ClientConnection
from meshcache_server.connections.routes import make_routes
from OpenSSL import SSL

from tests.server.harness import (
    ABOUT,
    NAME,
    Certificates,
    Dialogue,
    connect,
    reset,
    respond,
    serving,
)
from tests.support.waiting import wait_until, wait_until_async

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
GARBAGE = [
    GET,
    b"\x00" * 70_000,
    b"\xff" * 5,
    b"\x16\x03\x01\xff\xff" + b"a" * 70_000,
    b"\x16\x03\x01\x00\x00" * 100,
    b"\x80\x2e\x01\x00\x02" + bytes(41),
    b"\x17\x03\x03\x00\x10" + bytes(16),
    b"\x15\x03\x01\x00\x02\x02\x28",
]
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(autouse=True)
def _each_twin(stream_path: str) -> None:
    """All of it is true of streams in C and in Python."""


def fetch(port: int, certificates: Certificates, request: bytes = GET) -> bytes:
    dialogue = Dialogue(port, certificates)
    try:
        return dialogue.ask(request)
    finally:
        dialogue.close()


def fetch_on(dialogue: Dialogue) -> bytes:
    """One request on a connection that stays open."""
    dialogue.tls.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    answer: bytes = dialogue.tls.recv(4096)
    return answer


def hello(certificates: Certificates) -> bytes:
    """A ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        certificates.client().wrap_bio(incoming, outgoing, server_hostname=NAME).do_handshake()
    return outgoing.read()


def trickle(raw: socket.socket, data: bytes) -> None:
    """Send a byte at a time, until the server has had enough. Raises ConnectionError then."""
    for at in range(len(data)):
        raw.sendall(data[at : at + 1])
        if select.select([raw], [], [], 0.05)[0] and not raw.recv(1):
            raise ConnectionResetError


def waits(dialogue: Dialogue, seconds: float) -> bool:
    """Whether the server says nothing for so long."""
    return not select.select([dialogue.raw], [], [], seconds)[0]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_gets_an_answer_and_a_close_notify(
    certificates: Certificates, context: SSL.Context, version: ssl.TLSVersion
) -> None:
    async with serving(context) as server:
        reader, writer = await asyncio.open_connection(
            server.host, server.port, ssl=certificates.client(version), server_hostname=NAME
        )
        writer.write(GET)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        tls = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["tls"] == tls
        writer.close()
        await wait_until_async(lambda: len(server.table) == 0)
        assert server.tally.done == ["shop"]
        assert not server.tally.failed
        assert not server.faults.total


async def test_close_notify_comes_with_every_close(certificates: Certificates, context: SSL.Context) -> None:
    async with serving(context, idle_timeout_s=0.2) as server:
        answer = await asyncio.to_thread(fetch, server.port, certificates)  # read_to_end wants a close_notify
        assert answer.startswith(b"HTTP/1.1 200")

        idle = await asyncio.to_thread(Dialogue, server.port, certificates)
        assert await asyncio.to_thread(idle.read_to_end) == b""
        assert server.faults.total["idle timeout"] == 1
        idle.close()


async def test_sessions_resume_whether_or_not_the_client_said_goodbye(
    certificates: Certificates, context: SSL.Context
) -> None:
    for version in VERSIONS:
        clients = certificates.client(version)

        def visit(session: ssl.SSLSession | None, clients: ssl.SSLContext = clients) -> tuple[ssl.SSLSession, bool]:
            with clients.wrap_socket(connect(server.port), server_hostname=NAME, session=session) as tls:
                tls.sendall(b"HEAD / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
                tls.recv(1000)
                assert tls.session is not None
                return tls.session, bool(tls.session_reused)  # closed without close_notify, as browsers do

        async with serving(context) as server:
            session, resumed = await asyncio.to_thread(visit, None)
            assert not resumed
            for _ in range(3):
                await wait_until_async(lambda: len(server.table) == 0)
                session, resumed = await asyncio.to_thread(visit, session)
                assert resumed


class Wire(asyncio.Transport):
    """A transport that only notes what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""

    def is_reading(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_callbacks_of_a_flight_have_run_before_it_is_written(
    certificates: Certificates, context: SSL.Context, version: ssl.TLSVersion
) -> None:
    """Inside do_handshake OpenSSL tells the mesh of the session; not a byte of that flight may have left by then."""
    wire = Wire()
    written_when_done: list[int] = []

    def info(_connection: SSL.Connection, where: int, _code: int) -> None:
        if where & SSL.SSL_CB_HANDSHAKE_DONE:
            written_when_done.append(len(wire.written))

    context.set_info_callback(info)
    async with serving(context) as server:
        connection = ClientConnection(make_routes([], server.service), server.table)
        connection.connection_made(wire)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = certificates.client(version).wrap_bio(incoming, outgoing, server_hostname=NAME)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        connection.data_received(outgoing.read())
        incoming.write(b"".join(wire.written))
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        flights = len(wire.written)
        connection.data_received(outgoing.read())
        await wait_until_async(lambda: len(wire.written) == flights + 1, 30, "in TLS 1.3 tickets wait a moment")
        connection.connection_lost(None)
    assert written_when_done == [flights]


async def test_the_silence_of_a_client_begins_when_it_is_read_again(
    certificates: Certificates, context: SSL.Context
) -> None:
    """Tickets that leave before what waits in the socket is read make its kernel reset a client that is gone."""
    wire = Wire()
    async with serving(context) as server:
        connection = ClientConnection(make_routes([], server.service), server.table)
        connection.connection_made(wire)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = certificates.client(ssl.TLSVersion.TLSv1_3).wrap_bio(incoming, outgoing, server_hostname=NAME)
        for _ in range(2):
            with suppress(ssl.SSLWantReadError):
                client.do_handshake()
            connection.data_received(outgoing.read())
            incoming.write(b"".join(wire.written))
        held = server.table.held[connection]
        connection.pause()
        await asyncio.sleep(0.01)
        connection.resume()
        assert server.table.held[connection] > held
        connection.connection_lost(None)


async def test_garbage_plain_http_and_resets_cost_their_own_connection_only(
    certificates: Certificates, context: SSL.Context
) -> None:
    def run() -> None:
        healthy = Dialogue(server.port, certificates)
        for garbage in GARBAGE:
            with connect(server.port) as raw, suppress(ConnectionError):
                raw.sendall(garbage)
                while raw.recv(65536):
                    pass
            assert fetch_on(healthy).startswith(b"HTTP/1.1 200")
        broken = connect(server.port)
        broken.sendall(b"\x16\x03\x01\x02\x00\x01")
        reset(broken)
        connect(server.port).close()
        assert fetch_on(healthy).startswith(b"HTTP/1.1 200")
        healthy.close()

    async with serving(context) as server:
        await asyncio.to_thread(run)
        await wait_until_async(lambda: len(server.table) == 0)
        assert server.faults.total["tls: http request"] == 1
        assert "our own fault" not in server.faults.total
        assert len(server.tally.failed) == len(GARBAGE) + 1  # who connects and says nothing has failed no handshake
        assert len(server.tally.done) == 1


async def test_a_slow_loris_is_gone_after_the_handshake_timeout(
    certificates: Certificates, context: SSL.Context
) -> None:
    def run() -> None:
        healthy = Dialogue(server.port, certificates)
        slow = connect(server.port)
        with pytest.raises(ConnectionError):
            trickle(slow, hello(certificates))
        assert fetch_on(healthy).startswith(b"HTTP/1.1 200")
        healthy.close()

    async with serving(context, handshake_timeout_s=0.3) as server:
        await asyncio.to_thread(run)
        await wait_until_async(lambda: len(server.table) == 0)
        assert server.faults.total["handshake timeout"] == 1
        assert server.tally.failed == ["shop"]


async def test_a_timeout_is_put_off_by_requests_and_not_by_trickled_bytes(
    certificates: Certificates, context: SSL.Context
) -> None:
    def run() -> float:
        dialogue = Dialogue(server.port, certificates)
        started = time.monotonic()
        for _ in range(4):
            assert fetch_on(dialogue).startswith(b"HTTP/1.1 200")
            assert waits(dialogue, 0.15)
        assert time.monotonic() - started > 0.5
        ended_at = time.monotonic()
        with suppress(SSL.Error, OSError):
            while time.monotonic() < ended_at + 10:
                dialogue.tls.send(b"G")
                if not waits(dialogue, 0.05):
                    break
        dialogue.close()
        return time.monotonic() - ended_at

    async with serving(context, idle_timeout_s=0.4) as server:
        assert await asyncio.to_thread(run) < 5
        await wait_until_async(lambda: len(server.table) == 0)
        assert server.faults.total["idle timeout"] == 1


async def test_no_more_connections_than_allowed_are_open(certificates: Certificates, context: SSL.Context) -> None:
    def run() -> None:
        first, second = (Dialogue(server.port, certificates) for _ in range(2))
        with pytest.raises((SSL.Error, ConnectionError)):
            Dialogue(server.port, certificates)
        assert fetch_on(first).startswith(b"HTTP/1.1 200")
        second.close()
        wait_until(lambda: len(server.table) == 1)
        Dialogue(server.port, certificates).close()
        first.close()

    async with serving(context, connections_max=2) as server:
        await asyncio.to_thread(run)
        assert server.faults.total["over max_connections"] == 1


async def test_a_connection_that_is_gone_leaves_no_garbage(certificates: Certificates, context: SSL.Context) -> None:
    """Freed by reference counts alone: a cycle would keep OpenSSL's buffers until some collection."""
    seen: list[weakref.ref[object]] = []

    def remember(client: Client) -> Application:
        seen.append(weakref.ref(client.tls))
        return respond(client)

    gc.disable()
    try:
        async with serving(context, remember) as server:
            assert (await asyncio.to_thread(fetch, server.port, certificates)).startswith(b"HTTP/1.1 200")
            await wait_until_async(lambda: len(server.table) == 0)
            await wait_until_async(lambda: seen and seen[0]() is None)
    finally:
        gc.enable()


async def test_what_is_read_after_our_close_is_discarded_until_the_client_closes(
    certificates: Certificates, context: SSL.Context
) -> None:
    """Or the kernel would answer with RST, and the client could lose the answer that it had not read yet."""

    def run() -> bytes:
        dialogue = Dialogue(server.port, certificates)
        dialogue.tls.sendall(GET)
        dialogue.tls.sendall(b"x" * 200_000)
        answer = dialogue.read_to_end()
        dialogue.close()
        return answer

    async with serving(context) as server:
        assert (await asyncio.to_thread(run)).startswith(b"HTTP/1.1 200")


async def test_a_client_that_never_closes_is_closed(certificates: Certificates, context: SSL.Context) -> None:
    def run() -> None:
        dialogue = Dialogue(server.port, certificates)
        dialogue.ask(GET)
        wait_until(lambda: len(server.table) == 0, LINGER_S + 5)
        dialogue.close()

    async with serving(context) as server:
        await asyncio.to_thread(run)


async def test_a_fault_of_an_application_costs_its_connection_only(
    certificates: Certificates, context: SSL.Context, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(Responder):
        __slots__ = ()

        def receive(self, plain: bytes) -> None:
            if b"/fault" in plain:
                raise ZeroDivisionError
            super().receive(plain)

    def run() -> None:
        healthy = Dialogue(server.port, certificates)
        for _ in range(3):
            with pytest.raises((SSL.Error, ConnectionError)):
                fetch(server.port, certificates, GET.replace(b"/", b"/fault", 1))
        assert fetch_on(healthy).startswith(b"HTTP/1.1 200")
        healthy.close()

    async with serving(context, lambda client: Faulty(client, ABOUT, lambda: ("full", None))) as server:
        await asyncio.to_thread(run)
        assert server.faults.total["our own fault"] == 3
    assert caplog.text.count("Traceback") == 1  # logged once, counted always


async def test_a_key_update_is_answered_and_the_connection_goes_on(
    certificates: Certificates, context: SSL.Context
) -> None:
    """``K`` makes s_client ask for one (RFC 8446 section 4.6.3), and count what comes back."""
    async with serving(context) as server:
        process = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-tls1_3", "-msg", "-CAfile", str(certificates.authority_file)),
            *("-servername", NAME, "-connect", f"127.0.0.1:{server.port}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        await wait_until_async(lambda: server.tally.done)
        process.stdin.write(b"K\n")
        await process.stdout.readuntil(b"KEYUPDATE")
        process.stdin.write(GET)
        await process.stdout.readuntil(b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate")
        await process.stdout.readuntil(b"HTTP/1.1 200 OK")
        await asyncio.wait_for(process.wait(), 30)
