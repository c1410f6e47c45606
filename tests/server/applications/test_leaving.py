"""Tests of `server.leaving`: what a client sent whole reaches the backend, also when it hangs up without close_notify.

nginx (stream) and haproxy (TCP mode) stand beside it: no byte that they deliver may be lost here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from meshcache_server.applications.backends import Backend, Pool
from meshcache_server.applications.forwarding import Forwarding
from meshcache_server.applications.leaving import Leaving
from meshcache_server.limits import HOLD_S
from OpenSSL import SSL

from tests.server.applications.test_forwarding import relay_to
from tests.server.backends import backend
from tests.server.harness import NAME, Certificates, Dialogue, connect, serving
from tests.support.fronts import FRONTS, front
from tests.support.processes import Processes
from tests.support.waiting import wait_until_async

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
SENT = [b"one line\n", b"x" * 60_000, b"x" * 1_000_000]
VISITS = 6


def send_and_hang_up(port: int, clients: ssl.SSLContext, sent: bytes) -> None:
    """What half of all programs do: write, close the socket, and leave TLS to guess."""
    with clients.wrap_socket(connect(port), server_hostname=NAME) as tls:
        tls.sendall(sent)


@contextmanager
def late_reader(delay_s: float) -> Iterator[tuple[int, list[tuple[bytes, bool]]]]:
    """A backend that is slow to read: its port, and of each connection what it read and whether a reset followed."""
    seen: list[tuple[bytes, bool]] = []

    def read(connection: socket.socket) -> None:
        time.sleep(delay_s)
        got, was_reset = b"", False
        with connection:
            connection.settimeout(20)
            try:
                while data := connection.recv(65536):
                    got += data
            except ConnectionError:
                was_reset = True
        seen.append((got, was_reset))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=read, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], seen
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("sent", SENT, ids=["a line", "60 kB", "1 MB"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_what_came_whole_is_read_and_then_the_end_is_no_proper_one(
    certificates: Certificates, context: SSL.Context, version: ssl.TLSVersion, sent: bytes
) -> None:
    clients = certificates.client(version)
    with late_reader(0.3) as (port, seen):
        async with serving(context, relay_to(port)) as server:
            for _ in range(VISITS):
                await asyncio.to_thread(send_and_hang_up, server.port, clients, sent)
            await wait_until_async(lambda: len(seen) == VISITS, 30)
    assert all(was_reset for _, was_reset in seen)
    assert [len(got) for got, _ in seen] == [len(sent)] * VISITS


class LateBackend(Backend):
    """One that is connected to only after tickets were held back for as long as they ever are, three times over."""

    async def connect(self, make: Callable[[], asyncio.Protocol]) -> asyncio.BaseTransport:
        await asyncio.sleep(3 * HOLD_S)
        return await super().connect(make)


async def test_a_ticket_waits_for_a_client_that_has_to_wait_itself(
    certificates: Certificates, context: SSL.Context
) -> None:
    sent = b"x" * 1_000_000
    with late_reader(0) as (port, seen):
        pool = Pool((LateBackend("shop", f"127.0.0.1:{port}"),), 30.0, proxy_protocol=False)
        async with serving(context, lambda client: Forwarding(client, pool, lambda: True)) as server:
            await asyncio.to_thread(send_and_hang_up, server.port, certificates.client(), sent)
            await wait_until_async(lambda: seen, 30)
    assert len(seen[0][0]) == len(sent)


def records(received: bytes) -> int:
    """How many TLS records there are (RFC 8446 section 5.1)."""
    count = at = 0
    while at < len(received):
        at += 5 + int.from_bytes(received[at + 3 : at + 5])
        count += 1
    assert at == len(received)
    return count


@pytest.mark.parametrize(("request_", "together"), [(b"", 2), (b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 3)])
async def test_a_ticket_goes_with_the_first_answer_or_alone_to_a_client_that_is_silent(
    certificates: Certificates, context: SSL.Context, request_: bytes, together: int
) -> None:
    def first_arrival(port: int) -> bytes:  # OpenSSL makes two tickets
        dialogue = Dialogue(port, certificates)
        if request_:
            dialogue.tls.sendall(request_)
        return dialogue.raw.recv(100_000, socket.MSG_PEEK)

    async with serving(context) as server:
        assert records(await asyncio.to_thread(first_arrival, server.port)) == together


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_reader_that_drops_what_it_holds_at_a_reset_gets_it_before(
    certificates: Certificates, context: SSL.Context, version: ssl.TLSVersion
) -> None:
    """asyncio's StreamReader raises at a reset, whatever it has; so the reset has to come later than the bytes."""

    async def lines(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        got.append(await reader.readline())
        await reader.read(1)

    got: list[bytes] = []
    async with backend(lines) as seen, serving(context, relay_to(seen.port)) as server:
        await asyncio.to_thread(send_and_hang_up, server.port, certificates.client(version), b"one line\n")
        await wait_until_async(lambda: seen.reset)
    assert got == [b"one line\n"]
    assert not seen.ended


async def test_a_client_that_left_while_we_connected_is_heard(certificates: Certificates, context: SSL.Context) -> None:
    """The backlog is full when the client comes and goes; the backend accepts later and reads what it said."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with serving(context, relay_to(full.getsockname()[1], connect_timeout_s=60)) as server:
            await asyncio.to_thread(send_and_hang_up, server.port, certificates.client(), b"one line\n")
            full.settimeout(60)

            def accepted_and_read() -> bytes:
                while True:
                    connection, _ = full.accept()
                    with connection:
                        connection.settimeout(0.2)
                        try:
                            if got := connection.recv(100):
                                return got
                        except TimeoutError:
                            continue

            assert await asyncio.to_thread(accepted_and_read) == b"one line\n"
        for filler in fillers:
            filler.close()


async def test_abort_leaves_nothing_behind() -> None:
    leaving = Leaving()

    async def stay(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with backend(stay) as seen:
        _, writer = await asyncio.open_connection("127.0.0.1", seen.port)
        writer.write(b"half")
        leaving.cut_short(writer.transport)  # type: ignore[arg-type]
        assert len(leaving) == 1
        leaving.abort()
        assert len(leaving) == 0
        await wait_until_async(lambda: seen.reset)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("program", FRONTS)
async def test_others_deliver_no_more(
    program: str, version: ssl.TLSVersion, certificates: Certificates, context: SSL.Context, tmp_path: Path
) -> None:
    """The same clients and the same late backend behind nginx and haproxy, which may lose some."""
    clients = certificates.client(version)

    def visit(port: int) -> None:
        for sent in SENT:
            for _ in range(VISITS):
                send_and_hang_up(port, clients, sent)

    with Processes(tmp_path) as processes, late_reader(0.3) as (port, theirs), late_reader(0.3) as (other_port, ours):
        listen = front(program, processes, tmp_path, certificates.chain, certificates.key, port)
        async with serving(context, relay_to(other_port)) as server:
            await asyncio.to_thread(visit, listen)
            await asyncio.to_thread(visit, server.port)
            await wait_until_async(lambda: len(ours) == len(SENT) * VISITS, 30)
            assert sum(len(got) for got, _ in ours) >= sum(len(got) for got, _ in theirs) > 0
    assert sorted(len(got) for got, _ in ours) == sorted([len(sent) for sent in SENT] * VISITS)
