"""Tests of `server.preface`: several VIPs on one address, and balancers in front; haproxy is Debian's."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from ipaddress import ip_network
from pathlib import Path

import pytest
from meshcache_server.applications.application import Application, Client
from meshcache_server.connections.preface import STRANGER, Preface
from meshcache_server.connections.proxy_header import HeaderError
from meshcache_server.connections.routes import Routes, make_routes
from meshcache_server.connections.service import Service
from meshcache_server.proxy_protocol import TlsFacts, header
from OpenSSL import SSL

from tests.server.connections.test_client_hello import hello, in_records
from tests.server.harness import (
    Certificates,
    Tally,
    connect,
    make_certificates,
    reset,
    respond,
    server_context,
    serving,
)
from tests.support.fronts import free_port, run_haproxy
from tests.support.processes import Processes
from tests.support.waiting import wait_until_async

ENDS = (("192.0.2.7", 40000), ("10.0.0.1", 443))
HERE = (ip_network("127.0.0.0/8"),)


def service(vip: str, context: SSL.Context, tally: Tally | None = None) -> Service:
    return Service(vip, context, tally or Tally(), respond, 10, 60)


@pytest.fixture(scope="module")
def pay(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("pay"), "pay.example")


def routes_for(certificates: Certificates, pay: Certificates, tally: Tally, proxies: bool = False) -> Routes:
    shop = service("shop", server_context(certificates), tally)
    other = service("pay", server_context(pay), tally)
    return make_routes(
        [(shop, ["shop.example"]), (other, ["pay.example"])],
        shop,
        HERE if proxies else (),  # type: ignore[arg-type]
    )


def ask(port: int, authority: Certificates, name: str, before: bytes = b"") -> dict[str, object]:
    """What the certificate is for, seen after `before` and a handshake in single bytes at first."""
    context = authority.client()
    raw = connect(port)
    raw.sendall(before)
    with context.wrap_socket(raw, server_hostname=name) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        tls.recv(1)
        return dict(tls.getpeercert() or {})


async def test_the_server_name_chooses_the_vip_and_the_first_takes_the_rest(
    certificates: Certificates, context: SSL.Context, pay: Certificates
) -> None:
    tally = Tally()
    async with serving(context, routes=routes_for(certificates, pay, tally)) as server:
        await asyncio.to_thread(ask, server.port, pay, "pay.example")
        await asyncio.to_thread(ask, server.port, certificates, "shop.example")
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(ask, server.port, pay, "nobody.example")
        assert tally.done[:2] == ["pay", "shop"]


async def test_a_balancers_header_says_who_the_client_is(
    certificates: Certificates, context: SSL.Context, pay: Certificates
) -> None:
    tally, seen = Tally(), []

    def make(client: Client) -> Application:
        seen.append((client.endpoint("peername"), client.endpoint("sockname")))
        return respond(client)

    shop = Service("shop", context, tally, make, 10, 60)
    async with serving(context, routes=make_routes([], shop, HERE)) as server:  # type: ignore[arg-type]
        for before in (b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443\r\n", header(*ENDS, TlsFacts("TLSv1.3"))):
            await asyncio.to_thread(ask, server.port, certificates, "shop.example", before)
        assert seen == [ENDS, ENDS]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(ask, server.port, certificates, "shop.example")
        assert server.faults.total["no PROXY header from a listed network"] == 1


@pytest.mark.parametrize("several", [False, True])
async def test_a_strangers_header_is_refused_by_its_name(
    certificates: Certificates, context: SSL.Context, pay: Certificates, several: bool
) -> None:
    routes = routes_for(certificates, pay, Tally()) if several else None
    async with serving(context, routes=routes) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(
                ask, server.port, certificates, "shop.example", b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443\r\n"
            )
        assert server.faults.total == {STRANGER: 1}


async def test_a_header_that_is_cut_ends_like_any_silence(certificates: Certificates, context: SSL.Context) -> None:
    shop = service("shop", context)
    routes = make_routes([], shop, HERE)  # type: ignore[arg-type]
    async with serving(context, routes=routes, handshake_timeout_s=0.3) as server:
        raw = connect(server.port)
        raw.sendall(b"PROXY TCP4 192.0.2.7 10.0")
        await wait_until_async(lambda: server.faults.total["handshake timeout"] or not len(server.table))
        raw.close()
        other = connect(server.port)
        other.sendall(b"PROXY TCP4 nonsense 10.0.0.1 1 2\r\n")
        await wait_until_async(lambda: server.faults.total["PROXY header malformed"] == 1)
        other.close()
        await wait_until_async(lambda: len(server.table) == 0)


async def test_a_tcp_check_is_not_counted_and_one_that_resets_not_even_accepted(
    certificates: Certificates, context: SSL.Context
) -> None:
    async with serving(context) as server:
        admitted: list[object] = []
        admit = server.table.admit
        server.table.admit = lambda entry: admit(entry) and not admitted.append(entry)  # type: ignore[method-assign,func-returns-value]
        for _ in range(20):
            reset(connect(server.port))  # as haproxy ends its checks
        for _ in range(3):
            connect(server.port).close()  # as keepalived does: the kernel takes a FIN for something to read
        await asyncio.to_thread(ask, server.port, certificates, "shop.example")
        await wait_until_async(lambda: len(server.table) == 0)
        assert len(admitted) <= 4
        assert server.tally.failed == []
        assert set(server.faults.total) <= {"connection reset"}  # the last client's, which left without reading all


async def test_haproxy_in_tcp_mode_names_the_client_in_both_versions(
    certificates: Certificates, context: SSL.Context, tmp_path: Path
) -> None:
    seen = []

    def make(client: Client) -> Application:
        seen.append(client.endpoint("peername"))
        return respond(client)

    def from_another_address(port: int) -> tuple[str, int]:
        raw = socket.create_connection(("127.0.0.1", port), 10, source_address=("127.9.9.9", 0))
        name: tuple[str, int] = raw.getsockname()
        with certificates.client().wrap_socket(raw, server_hostname="shop.example") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            tls.recv(1)
        return name

    tally = Tally()
    shop = Service("shop", context, tally, make, 10, 60)
    with Processes(tmp_path) as processes:
        async with serving(context, routes=make_routes([], shop, HERE)) as server:  # type: ignore[arg-type]
            ports = [free_port() for _ in range(2)]
            sections = "".join(
                f"listen {kind}\n  bind 127.0.0.1:{port}\n"
                f"  server one 127.0.0.1:{server.port} {kind} check inter 100ms\n"
                for kind, port in zip(("send-proxy", "send-proxy-v2"), ports, strict=True)
            )
            await asyncio.to_thread(run_haproxy, processes, tmp_path, sections, ports[1])
            expected = [await asyncio.to_thread(from_another_address, port) for port in ports]
            assert seen == expected
            assert tally.failed == []


def test_the_name_is_waited_for_only_where_it_decides(certificates: Certificates, pay: Certificates) -> None:
    whole = hello("pay.example")
    several = Preface(routes_for(certificates, pay, Tally()), "192.0.2.1")
    assert [several.receive(whole[at : at + 1]) for at in range(len(whole) - 1)] == [None] * (len(whole) - 1)
    opening = several.receive(whole[-1:])
    assert opening is not None
    assert (opening.service.vip, opening.received) == ("pay", whole)
    with pytest.raises(HeaderError):
        Preface(routes_for(certificates, pay, Tally(), proxies=True), "127.0.0.1").receive(whole)


def test_a_hello_in_tiny_pieces_costs_what_it_is_long(certificates: Certificates, pay: Certificates) -> None:
    endless = in_records(b"\x01\xff\xff\xff" + bytes(5000), 1)
    preface = Preface(routes_for(certificates, pay, Tally()), "192.0.2.1")
    began_s = time.process_time()
    assert not any(preface.receive(endless[at : at + 1]) for at in range(len(endless)))
    assert time.process_time() - began_s < 1


@pytest.mark.parametrize("timeout_s", [10.0, 3.0])
async def test_what_comes_before_a_handshake_has_no_time_of_its_own(
    certificates: Certificates, context: SSL.Context, pay: Certificates, timeout_s: float
) -> None:
    shop = service("shop", context)
    other = Service("pay", server_context(pay), Tally(), respond, timeout_s, 60)
    routes, whole = make_routes([(other, ["pay.example"])], shop), hello("pay.example")
    async with serving(context, routes=routes, handshake_timeout_s=1) as server:  # for a clock that is looked at often
        raw = connect(server.port)
        raw.sendall(whole[:-1])
        await wait_until_async(lambda: len(server.table) == 1)
        (waiting,) = server.table
        until, accepted = waiting.deadline, server.table.now
        await wait_until_async(lambda: server.table.now > accepted)
        raw.sendall(whole[-1:])
        await wait_until_async(lambda: waiting.shaking_hands)
        assert abs(waiting.deadline - (until + timeout_s - shop.handshake_timeout_s)) < 0.01
        raw.close()
