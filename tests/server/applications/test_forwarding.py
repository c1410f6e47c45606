"""Tests of `server.forwarding`: real TLS clients, real backends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from meshcache_server.applications.application import Application, Client
from meshcache_server.applications.backends import Backend, Pool
from meshcache_server.applications.forwarding import Forwarding
from meshcache_server.proxy_protocol import (
    CLIENT_CERT_CONN,
    CLIENT_CERT_SESS,
    CLIENT_SSL,
    SUBTYPE_SSL_CN,
    SUBTYPE_SSL_VERSION,
)
from OpenSSL import SSL

from tests.server.backends import Handler, backend, echo, greet_and_end, greet_and_reset, upper_at_the_end
from tests.server.harness import (
    Certificates,
    Dialogue,
    Running,
    ask_for_certificates,
    make_credentials,
    reset,
    serving,
)
from tests.support.waiting import wait_until_async

T = TypeVar("T")


def relay_to(
    port: int,
    *,
    proxy_protocol: bool = False,
    connect_timeout_s: float = 5.0,
    is_full: Callable[[], bool] = lambda: True,
) -> Callable[[Client], Application]:
    pool = Pool((Backend("shop", f"127.0.0.1:{port}"),), connect_timeout_s, proxy_protocol)
    return lambda client: Forwarding(client, pool, is_full)


async def talk(server: Running, certificates: Certificates, run: Callable[[Dialogue], T], **as_said: Any) -> T:
    """Connect and do `run` with the connection, in a thread; `as_said` goes to `Dialogue`."""

    def both() -> T:
        dialogue = Dialogue(server.port, certificates, **as_said)
        try:
            return run(dialogue)
        finally:
            dialogue.close()

    return await asyncio.to_thread(both)


async def all_gone(server: Running) -> None:
    await wait_until_async(lambda: len(server.table) == 0)


async def test_bytes_go_both_ways_unchanged(certificates: Certificates, context: SSL.Context) -> None:
    sent = bytes(range(256)) * 40_000

    def run(dialogue: Dialogue) -> bytes:
        dialogue.begin(sent)
        got = bytearray()
        while len(got) < len(sent):
            dialogue.push()
            try:
                got += dialogue.tls.recv(65536)
            except SSL.WantReadError:
                continue
        return bytes(got)

    async with backend(echo) as seen, serving(context, relay_to(seen.port)) as server:
        assert await talk(server, certificates, run) == sent
        await all_gone(server)


async def test_the_clients_end_reaches_the_backend_which_may_still_answer(
    certificates: Certificates, context: SSL.Context
) -> None:
    def run(dialogue: Dialogue) -> bytes:
        dialogue.tls.sendall(b"question")
        dialogue.end()
        return dialogue.read_to_end()

    async with backend(upper_at_the_end) as seen, serving(context, relay_to(seen.port)) as server:
        assert await talk(server, certificates, run) == b"QUESTION"
        await all_gone(server)
        assert not server.faults.total


async def test_the_backends_end_reaches_the_client_which_may_still_send(
    certificates: Certificates, context: SSL.Context
) -> None:
    def run(dialogue: Dialogue) -> bytes:
        greeting = dialogue.read_to_end()
        dialogue.tls.set_shutdown(0)  # or OpenSSL would not write to a side that has said close_notify
        dialogue.tls.sendall(b"x" * 100_000)
        dialogue.end()
        return greeting

    async with backend(greet_and_end) as seen, serving(context, relay_to(seen.port)) as server:
        assert await talk(server, certificates, run) == b"hello"
        await wait_until_async(lambda: [len(data) for data in seen.ended] == [100_000])
        await all_gone(server)


async def test_an_end_without_close_notify_is_no_end_for_the_backend(
    certificates: Certificates, context: SSL.Context
) -> None:
    """A stranger on the path can send FIN, and a request that was cut short must not look whole."""

    def run(dialogue: Dialogue) -> bytes:
        dialogue.tls.sendall(b"transfer 10")
        dialogue.read(11)
        dialogue.raw.shutdown(socket.SHUT_WR)
        return dialogue.read_to_end()  # which wants a close_notify from us all the same

    async with backend(echo) as seen, serving(context, relay_to(seen.port)) as server:
        assert await talk(server, certificates, run) == b""
        await wait_until_async(lambda: seen.reset == [b"transfer 10"])
        assert not seen.ended
        assert server.faults.total["no close_notify"] == 1


async def test_a_backends_reset_is_no_proper_end_for_the_client(
    certificates: Certificates, context: SSL.Context
) -> None:
    def run(dialogue: Dialogue) -> None:
        assert dialogue.read(5) == b"hello"
        dialogue.tls.sendall(b"now")
        with pytest.raises(SSL.Error) as caught:
            dialogue.read_to_end()
        assert not isinstance(caught.value, SSL.ZeroReturnError)

    async with backend(greet_and_reset) as seen, serving(context, relay_to(seen.port)) as server:
        await talk(server, certificates, run)
        await all_gone(server)
        assert server.faults.total["backend reset"] == 1


async def test_a_clients_reset_reaches_the_backend(certificates: Certificates, context: SSL.Context) -> None:
    async with backend(echo) as seen, serving(context, relay_to(seen.port)) as server:
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        await asyncio.to_thread(dialogue.tls.sendall, b"hello")
        await asyncio.to_thread(dialogue.read, 5)
        reset(dialogue.raw)
        await wait_until_async(lambda: seen.reset == [b"hello"])
        await all_gone(server)


async def test_what_a_client_sent_properly_arrives_even_if_it_is_gone(
    certificates: Certificates, context: SSL.Context
) -> None:
    sent = b"x" * 1_000_000
    let_go = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await let_go.wait()
        await reader.read()

    def run(dialogue: Dialogue) -> None:
        dialogue.tls.sendall(sent)
        dialogue.end()
        dialogue.raw.recv(65536)  # the session ticket: closing with something unread would reset the connection

    async with backend(slow) as seen, serving(context, relay_to(seen.port)) as server:
        await talk(server, certificates, run)
        let_go.set()
        await wait_until_async(lambda: [len(data) for data in seen.ended] == [len(sent)])


async def test_a_client_that_does_not_read_stops_the_backend(certificates: Certificates, context: SSL.Context) -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    async with backend(pour) as seen, serving(context, relay_to(seen.port)) as server:
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        before = -1

        def settled() -> bool:
            nonlocal before
            before, settled = sent, sent == before and sent > 0
            return settled

        await wait_until_async(settled, 60)
        (connection,) = server.table
        assert connection.transport.get_write_buffer_size() < 2**20  # type: ignore[attr-defined]
        assert await asyncio.to_thread(dialogue.read, 20_000_000) == bytes(20_000_000)  # and flows again
        dialogue.close()
        await all_gone(server)


async def test_a_backend_that_does_not_read_stops_the_client(certificates: Certificates, context: SSL.Context) -> None:
    let_go = asyncio.Event()

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await let_go.wait()
        total = 0
        while data := await reader.read(65536):
            total += len(data)
        writer.write(b"%d" % total)

    async with backend(sink) as seen, serving(context, relay_to(seen.port)) as server:
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        dialogue.begin(bytes(30_000_000))
        left = -1

        def settled() -> bool:
            nonlocal left
            dialogue.push()
            left, settled = len(dialogue.unsent), len(dialogue.unsent) == left
            return settled

        await wait_until_async(settled, 60)
        assert left > 0
        (connection,) = server.table
        relay = connection.application  # type: ignore[attr-defined]
        assert relay.unsent_bytes < 2**20
        let_go.set()

        def finish() -> bytes:
            while dialogue.unsent:
                dialogue.push()
            dialogue.end()
            return dialogue.finish()

        assert await asyncio.to_thread(finish) == b"30000000"
        dialogue.close()
        await all_gone(server)


async def test_a_backend_that_is_not_there_ends_the_connection_in_order(
    certificates: Certificates, context: SSL.Context
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with serving(context, relay_to(port)) as server:
        assert await talk(server, certificates, Dialogue.read_to_end) == b""
        await all_gone(server)
        assert server.faults.total["backend unreachable"] == 1


async def test_a_backend_that_does_not_answer_the_connect_is_given_up(
    certificates: Certificates, context: SSL.Context
) -> None:
    with socket.socket() as full:  # a backlog that is full lets nobody in, and refuses nobody
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        async with serving(context, relay_to(port, connect_timeout_s=0.2)) as server:
            assert await talk(server, certificates, Dialogue.read_to_end) == b""
            assert server.faults.total["backend connect timeout"] == 1
        for filler in fillers:
            filler.close()


async def test_a_client_that_leaves_while_we_connect_leaves_nothing_behind(
    certificates: Certificates, context: SSL.Context
) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with serving(context, relay_to(full.getsockname()[1], connect_timeout_s=0.3)) as server:
            await talk(server, certificates, lambda dialogue: dialogue.tls.sendall(b"hello"))
            await all_gone(server)
        for filler in fillers:
            filler.close()


async def test_an_idle_relay_is_ended_and_a_busy_one_is_not(certificates: Certificates, context: SSL.Context) -> None:
    async def tick(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(10):
            writer.write(b".")
            try:
                await asyncio.wait_for(reader.read(1), 0.1)
            except TimeoutError:
                continue
        await reader.read()

    async with backend(tick) as seen, serving(context, relay_to(seen.port), idle_timeout_s=0.5) as server:
        assert await talk(server, certificates, Dialogue.read_to_end) == b"." * 10
        await all_gone(server)
        assert server.faults.total["idle timeout"] == 1


def echo_behind_headers(heads: list[tuple[bytes, bytes]]) -> Handler:
    """A backend that expects a PROXY header, and notes it in two parts."""

    async def read_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(16)
        body = await reader.readexactly(int.from_bytes(head[14:16], "big"))
        heads.append((head, body))
        await echo(reader, writer)

    return read_header


async def test_the_backend_is_told_the_client_in_a_proxy_header(
    certificates: Certificates, context: SSL.Context
) -> None:
    context.set_alpn_select_callback(lambda _connection, offered: offered[0])
    heads: list[tuple[bytes, bytes]] = []

    def run(dialogue: Dialogue) -> tuple[bytes, int]:
        dialogue.tls.sendall(b"at once")
        return dialogue.read(7), dialogue.raw.getsockname()[1]

    async with (
        backend(echo_behind_headers(heads)) as seen,
        serving(context, relay_to(seen.port, proxy_protocol=True)) as server,
    ):
        echoed, port = await talk(server, certificates, run, alpn=[b"http/1.1"])
    assert echoed == b"at once"
    ((head, body),) = heads
    assert head[:14] == b"\r\n\r\n\x00\r\nQUIT\n\x21\x11"
    assert body[:12] == bytes((127, 0, 0, 1)) * 2 + port.to_bytes(2, "big") + server.port.to_bytes(2, "big")
    assert body[12:].startswith(b"\x01\x00\x08http/1.1\x02\x00\x0cshop.example\x20")
    assert b"\x21\x00\x07TLSv1.3" in body


async def test_a_common_name_that_cannot_be_read_is_told_as_an_empty_one(
    certificates: Certificates, context: SSL.Context
) -> None:
    ask_for_certificates(context, certificates)
    shown = make_credentials(certificates.authority, "Müller")
    with pytest.raises(ValueError, match="error parsing"):
        _ = shown[0].subject
    heads: list[tuple[bytes, bytes]] = []

    def run(dialogue: Dialogue) -> bytes:
        dialogue.tls.sendall(b"at once")
        return dialogue.read(7)

    async with (
        backend(echo_behind_headers(heads)) as seen,
        serving(context, relay_to(seen.port, proxy_protocol=True)) as server,
    ):
        assert await talk(server, certificates, run, shown=shown) == b"at once"
    ((_, body),) = heads
    verified = bytes((CLIENT_SSL | CLIENT_CERT_CONN | CLIENT_CERT_SESS, 0, 0, 0, 0, SUBTYPE_SSL_VERSION))
    assert verified in body
    assert body.endswith(bytes((SUBTYPE_SSL_CN, 0, 0)))


async def test_a_client_that_nothing_can_be_told_of_reaches_no_backend(
    certificates: Certificates, context: SSL.Context
) -> None:
    """It could send a header of its own."""
    ask_for_certificates(context, certificates)

    def unknown() -> bool:
        raise LookupError

    def run(dialogue: Dialogue) -> None:
        with suppress(SSL.SysCallError):  # it may be over already
            dialogue.tls.sendall(b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443\r\n")
        with pytest.raises(SSL.Error) as caught:
            dialogue.read_to_end()
        assert not isinstance(caught.value, (SSL.ZeroReturnError, SSL.WantReadError))

    async with backend(echo) as seen:
        relay = relay_to(seen.port, proxy_protocol=True, is_full=unknown)
        async with serving(context, relay) as server:
            await talk(server, certificates, run, shown=make_credentials(certificates.authority, "Meyer"))
            await all_gone(server)
            assert server.faults.total["our own fault"] == 1
            assert seen.connections == 0


async def test_nobody_reaches_the_backend_without_a_handshake(certificates: Certificates, context: SSL.Context) -> None:
    async with backend(echo) as seen, serving(context, relay_to(seen.port)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        writer.close()
        await wait_until_async(lambda: server.tally.failed)
        await all_gone(server)
        assert seen.connections == 0
