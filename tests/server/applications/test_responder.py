"""Tests of `server.responder`, over TLS as clients meet it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from meshcache_server.applications.responder import BODY_BYTES_MAX, Responder
from OpenSSL import SSL

from tests.server.harness import ABOUT, Certificates, Dialogue, serving
from tests.support.waiting import wait_until_async

HOST = b"Host: shop.example\r\n"
CLOSE = b"Connection: close\r\n"
LAST = b"GET /last HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"


def answers(raw: bytes, heads: int = 0) -> list[tuple[int, bytes, bytes]]:
    """Status, head and body of each answer in `raw`; the first `heads` are answers to HEAD."""
    parsed = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        size = 0 if len(parsed) < heads else length
        parsed.append((int(head.split()[1]), head, raw[:size]))
        raw = raw[size:]
    return parsed


async def ask(
    certificates: Certificates, context: SSL.Context, request: bytes, server_name: bytes | None = b"shop.example"
) -> bytes:
    async with serving(context) as server:

        def run() -> bytes:
            dialogue = Dialogue(server.port, certificates, server_name)
            try:
                return dialogue.ask(request)
            finally:
                dialogue.close()

        return await asyncio.to_thread(run)


async def test_the_answer_is_json_about_the_connection(certificates: Certificates, context: SSL.Context) -> None:
    def make(client: Any) -> Responder:
        return Responder(client, ABOUT, lambda: ("remote", "edge-2"))

    async with serving(context, make) as server:
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        ((status, head, body),) = answers(await asyncio.to_thread(dialogue.ask, LAST))
        dialogue.close()
    assert status == 200
    assert b"Content-Type: application/json" in head
    assert b"Connection: close" in head
    assert json.loads(body) == {
        "server": "edge-1",
        "colo": "ams1",
        "vip": "shop",
        "tls": "TLSv1.3",
        "session": "remote",
        "origin": "edge-2",
    }


async def test_pipelined_requests_are_answered_in_order_whatever_their_method(
    certificates: Certificates, context: SSL.Context
) -> None:
    request = (
        b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n"
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 11\r\n\r\nGET / HTTP/\r\r"
        b"DELETE /x HTTP/1.1\r\n" + HOST + b"\r\n"
        b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n" + LAST
    ).replace(b"GET / HTTP/\r\r", b"GET / HTTP/")
    got = answers(await ask(certificates, context, request), heads=1)
    assert [status for status, _, _ in got] == [200] * 5
    assert got[0][2] == b""
    assert len({body for _, _, body in got[1:]}) == 1


async def test_ten_thousand_pipelined_requests_are_all_answered(
    certificates: Certificates, context: SSL.Context
) -> None:
    one = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"

    async with serving(context) as server:

        def run() -> int:
            dialogue = Dialogue(server.port, certificates)
            got = b""
            for _ in range(10):  # as much at a time as the kernel's buffers hold, for we read only afterwards
                dialogue.tls.sendall(one * 999)
                got += dialogue.tls.recv(1)
            dialogue.tls.sendall(LAST)
            got += dialogue.read_to_end()
            dialogue.close()
            return got.count(b"HTTP/1.1 200 OK")

        assert await asyncio.to_thread(run) == 9991


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 20_000, 431),
        (b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)
async def test_a_bad_request_is_refused_and_ends_the_connection(
    certificates: Certificates, context: SSL.Context, request_bytes: bytes, status: int
) -> None:
    ((got, head, body),) = answers(await ask(certificates, context, request_bytes + LAST))
    assert got == status
    assert b"Connection: close" in head
    assert "error" in json.loads(body)


async def test_a_body_without_a_known_or_sensible_end_ends_the_connection(
    certificates: Certificates, context: SSL.Context
) -> None:
    for field in (b"Transfer-Encoding: chunked", b"Content-Length: %d" % (BODY_BYTES_MAX + 1)):
        request = b"POST / HTTP/1.1\r\n" + HOST + field + b"\r\n\r\n" + LAST
        ((status, head, _),) = answers(await ask(certificates, context, request))
        assert status == 200
        assert b"Connection: close" in head


async def test_a_long_body_in_many_pieces_is_read_past(certificates: Certificates, context: SSL.Context) -> None:
    request = b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 500000\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n" * 27777
    request += b"x" * (500_000 - 18 * 27777)
    got = answers(await ask(certificates, context, request + LAST))
    assert [status for status, _, _ in got] == [200, 200]


@pytest.mark.parametrize(
    ("server_name", "host", "status"),
    [
        (b"shop.example", b"shop.example", 200),
        (b"shop.example", b"SHOP.example.:8443", 200),
        (b"shop.example", b"a.shop.example", 200),  # its certificate covers that too (RFC 9110 section 7.4)
        (b"shop.example", b"pay.example", 421),
        (b"shop.example", b"127.0.0.1", 421),
        (b"unknown.example", b"unknown.example", 200),
        (None, b"127.0.0.1:8443", 200),
        (None, b"pay.example", 200),
    ],
)
async def test_a_host_that_the_connection_is_not_good_for_is_misdirected(
    certificates: Certificates, context: SSL.Context, server_name: bytes | None, host: bytes, status: int
) -> None:
    request = b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n" + CLOSE + b"\r\n"
    assert answers(await ask(certificates, context, request, server_name))[0][0] == status


async def test_http_1_0_gets_its_answer_and_the_end(certificates: Certificates, context: SSL.Context) -> None:
    assert len(answers(await ask(certificates, context, b"GET / HTTP/1.0\r\n\r\n"))) == 1


async def test_a_client_that_never_reads_costs_no_memory(certificates: Certificates, context: SSL.Context) -> None:
    one = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    made: list[Responder] = []

    def make(client: Any) -> Responder:
        made.append(Responder(client, ABOUT, lambda: ("full", None)))
        return made[0]

    async with serving(context, make) as server:
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        dialogue.begin(one * 100_000)

        def push() -> bool:
            dialogue.push()
            return made[0].held_up

        await wait_until_async(push, 20)
        (connection,) = server.table
        assert connection.transport.get_write_buffer_size() < 2**20  # type: ignore[attr-defined]
        assert made[0].unread_bytes <= 2**19
        dialogue.close()


async def test_what_waits_is_answered_when_the_client_reads_again(
    certificates: Certificates, context: SSL.Context
) -> None:
    one = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    count = 40_000
    made: list[Responder] = []

    def make(client: Any) -> Responder:
        made.append(Responder(client, ABOUT, lambda: ("full", None)))
        return made[0]

    async with serving(context, make) as server:
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        dialogue.begin(one * count + LAST)

        def push() -> bool:
            dialogue.push()
            return made[0].held_up

        await wait_until_async(push, 20)
        got = await asyncio.to_thread(dialogue.finish)
        assert got.count(b"HTTP/1.1 200 OK") == count + 1
        dialogue.close()


async def test_draining_ends_idle_connections_and_waits_for_requests(
    certificates: Certificates, context: SSL.Context
) -> None:
    async with serving(context) as server:
        idle, busy = [await asyncio.to_thread(Dialogue, server.port, certificates) for _ in range(2)]
        await asyncio.to_thread(busy.tls.sendall, b"GET / HTTP/1.1\r\n")
        await wait_until_async(lambda: len(server.table) == 2)
        await wait_until_async(lambda: any(e.application.unread_bytes for e in server.table))  # type: ignore[attr-defined]
        draining = asyncio.create_task(server.table.drain(10))
        assert await asyncio.to_thread(idle.read_to_end) == b""
        idle.close()
        assert not draining.done()
        rest = await asyncio.to_thread(busy.ask, HOST + b"\r\n")
        assert answers(rest)[0][0] == 200
        busy.close()
        await draining
        assert len(server.table) == 0
