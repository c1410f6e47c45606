"""Tests of `server.connections.silent_addresses` and of what connections make of it; haproxy is Debian's."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from meshcache_server.applications.application import Client
from meshcache_server.connections.silent_addresses import ADDRESSES_MAX, REMEMBERED_S, SPOKEN_MAX, SilentAddresses
from OpenSSL import SSL

from meshcache.admin.client import AdminClient
from tests.server.deployment import ASK, Deployment, deploy
from tests.server.harness import NAME, Certificates, Dialogue, connect, reset, serving
from tests.server.test_app import body
from tests.support.fronts import free_port, run_haproxy
from tests.support.processes import Processes
from tests.support.waiting import wait_until, wait_until_async


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


def test_an_address_is_in_doubt_until_a_client_from_there_has_spoken_and_while_it_is_known_for_checks() -> None:
    silent = SilentAddresses()
    assert silent.doubt("10.0.0.1") is not None
    silent.spoke("10.0.0.1")
    assert silent.doubt("10.0.0.1") is None
    silent.note("10.0.0.1", 0.0)
    assert silent.doubt("10.0.0.1") is not None
    silent.expire(REMEMBERED_S)
    assert silent.doubt("10.0.0.1") is not None
    silent.expire(REMEMBERED_S + 1)
    assert silent.doubt("10.0.0.1") is None


def test_few_addresses_are_remembered() -> None:
    silent = SilentAddresses()
    for number in range(SPOKEN_MAX + 1):
        silent.spoke(str(number))
    assert silent.doubt("0") is not None
    assert silent.doubt("1") is None
    for number in range(1, ADDRESSES_MAX + 2):
        silent.note(str(number), 10.0)
    assert silent.doubt("1") is None
    assert silent.doubt("2") is not None


@pytest.mark.slow
@pytest.mark.parametrize(("haproxys", "version"), [("12", ssl.TLSVersion.TLSv1_2), ("13", ssl.TLSVersion.TLSv1_3)])
def test_haproxys_tls_checks_leave_no_sessions_and_its_clients_do(
    shop: Deployment, tmp_path: Path, haproxys: str, version: ssl.TLSVersion
) -> None:
    shop.start()
    admin = AdminClient(shop.folder / "state/edge-1/admin.sock")

    def checks() -> int:
        return int(admin.stats()["front"]["ended_badly"].get("ended right after the handshake", 0))

    def sessions() -> dict[str, Any]:
        return dict(admin.stats()["vips"]["shop"])

    port = free_port()
    server = f"server one 127.0.0.1:{shop.port} check check-ssl verify none force-tlsv{haproxys} inter 20ms fall 9999"
    run_haproxy(shop.processes, tmp_path, f"listen tls\n  bind 127.0.0.1:{port}\n  {server}\n", port)
    wait_until(lambda: checks() >= 20)
    assert sessions()["entries"] == 0
    assert sessions()["sessions"]["made"] == 0
    shop.port = port
    clients = shop.certificates.client(version)
    # haproxy takes a server for down when its first check fails, as it may after 20 ms on a busy machine.
    session, answer = wait_until(lambda: shop.visit(None, clients))
    _, answer = shop.visit(session, clients)
    assert body(answer)["session"] == "local"
    assert shop.process is not None
    assert "ended right" not in shop.process.output


HELD = ["hold", "hold"]
"""A handshake of TLS 1.3 takes two flights."""


async def test_a_client_is_kept_at_its_first_byte_and_then_known_and_a_silent_one_forgotten(
    certificates: Certificates, context: SSL.Context
) -> None:
    async with serving(context) as server:
        told = server.tally.withheld.told
        for times in (1, 2):
            reset(await asyncio.to_thread(shaken, server.port, certificates))
            await wait_until_async(lambda times=times: told == [*HELD, "forget"] * times)
        assert server.faults.total["ended right after the handshake"] == 2
        told.clear()
        server.table.silent.expire(float("inf"))
        for _ in range(2):
            dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
            await asyncio.to_thread(dialogue.ask, ASK)
            dialogue.close()
        assert told == [*HELD, "keep"], "of the second one nothing is in doubt"
        reset(await asyncio.to_thread(shaken, server.port, certificates))
        await wait_until_async(lambda: told[3:] == ["forget"])


async def test_a_client_that_says_nothing_but_goodbye_is_a_client(
    certificates: Certificates, context: SSL.Context
) -> None:
    async with serving(context) as server:
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        await asyncio.to_thread(dialogue.tls.shutdown)
        await wait_until_async(lambda: server.tally.withheld.told == [*HELD, "keep"])


async def test_a_client_that_stays_is_a_client(certificates: Certificates, context: SSL.Context) -> None:
    async with serving(context) as server:
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)

        def rested() -> bool:
            for entry in server.table:
                entry.rest()  # as the sweep lets them, every ten seconds
            return server.tally.withheld.told == [*HELD, "keep"]

        await wait_until_async(rested)
        dialogue.close()


async def test_where_the_server_alone_speaks_who_takes_the_answer_is_a_client(
    certificates: Certificates, context: SSL.Context
) -> None:
    async with serving(context, SaysTheTime) as server:
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        assert await asyncio.to_thread(dialogue.read, 4) == b"noon"
        await wait_until_async(lambda: server.tally.withheld.told == [*HELD, "keep"])
        dialogue.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_that_a_client_came_with_outlives_a_silent_connection(
    certificates: Certificates, context: SSL.Context, version: ssl.TLSVersion
) -> None:
    """In TLS 1.2 it is the same session; in TLS 1.3 the resumption made another, which nobody knows yet."""
    async with serving(context) as server:
        told, client = server.tally.withheld.told, certificates.client(version)
        session = await asyncio.to_thread(visited, client, server.port)
        told.clear()
        reset(await asyncio.to_thread(resumed, client, server.port, session))
        await wait_until_async(lambda: server.faults.total["ended right after the handshake"] == 1)
        await wait_until_async(lambda: not len(server.table))
        assert told == ([] if version is ssl.TLSVersion.TLSv1_2 else ["forget"])


def visited(client: ssl.SSLContext, port: int) -> ssl.SSLSession:
    """The session of a client that has asked and was answered."""
    with client.wrap_socket(connect(port), server_hostname=NAME) as tls:
        tls.sendall(ASK)
        while tls.recv(65536):
            pass
        assert tls.session is not None
        return tls.session


def resumed(client: ssl.SSLContext, port: int, session: ssl.SSLSession) -> socket.socket:
    """A connection that has resumed a session, and said nothing."""
    tls = client.wrap_socket(connect(port), server_hostname=NAME, session=session)
    assert tls.session_reused
    return socket.socket(fileno=tls.detach())


class SaysTheTime:
    """An application that speaks first and last."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def start(self) -> None:
        self._client.send(b"noon")
        self._client.close()

    def receive(self, plain: bytes) -> None: ...
    def end(self) -> None: ...
    def lost(self) -> None: ...
    def stalled(self) -> None: ...
    def flowing(self) -> None: ...
    def drain(self) -> None: ...


def shaken(port: int, certificates: Certificates) -> socket.socket:
    """A connection whose handshake is over, and that has said nothing."""
    dialogue = Dialogue(port, certificates)
    return dialogue.raw
