"""Tests of `meshcache_server.connections.pausing`: a server of a real node, whose asker is the test's to answer for."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from meshcache_server.connections.connection import ClientConnection

from meshcache.runtime.lookups.asking import PausedLookup, Step
from tests.nodes import Place, places
from tests.server.harness import NAME, Certificates, Running, connect, reset, server_context, serving
from tests.support.waiting import wait_until_async

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Asker:
    """Is asked last, and says nothing by itself."""

    def __init__(self, waits_s: float) -> None:
        self.waits_s = waits_s
        self.begun: list[PausedLookup] = []
        self.ended: list[PausedLookup] = []

    def serves(self, _vip: str) -> bool:
        return True

    def begin(self, lookup: PausedLookup, now: float) -> float | None:
        self.begun.append(lookup)
        return now + self.waits_s

    def end(self, lookup: PausedLookup, _now: float) -> None:
        self.ended.append(lookup)


class Shop:
    """A node with an asker, and a client whose session is not in memory any more."""

    def __init__(self, place: Place, certificates: Certificates, waits_s: float = 30.0) -> None:
        self.node = place.node("edge-1", vip=[{"name": "shop", "tickets": 1, "await_ms": 0}])
        self.asker = Asker(waits_s)
        self.certificates = certificates
        self.context = server_context(certificates)
        self.node.internals.vips.asking.plug(Step.FETCH, self.asker)
        self.session: ssl.SSLSession | None = None

    @asynccontextmanager
    async def open(self, version: ssl.TLSVersion, handshake_timeout_s: float = 20.0) -> AsyncIterator[Running]:
        self.node.attach(self.context, vip="shop", pauses=True)
        self.client = self.certificates.client(version)
        async with serving(self.context, mesh=self.node, handshake_timeout_s=handshake_timeout_s) as running:
            await asyncio.to_thread(self.visit, running.port)
            self.node.stats()  # what was made is filed
            core = self.node.internals.pump.core
            cache = core.duties.cache.vip_cache("shop")
            assert cache is not None
            self.id, packed = next(iter(cache.items()))
            self.der = packed[21:]
            core.session_removed("shop", self.id)
            yield running

    def visit(self, port: int) -> bool:
        """Ask for a page; whether the connection resumed. Keeps the session."""
        with self.client.wrap_socket(connect(port), server_hostname=NAME, session=self.session) as tls:
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while part := tls.recv(4096):
                answer += part
            assert answer.startswith(b"HTTP/1.1 200")
            self.session = tls.session
            return bool(tls.session_reused)

    def bring_back(self) -> None:
        pump = self.node.internals.pump
        with pump.lock:
            pump.core.session_created("shop", self.id, self.der, pump.clock())

    def hello(self, port: int) -> socket.socket:
        """A connection of a client that comes back and has only said its ClientHello."""
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.client.wrap_bio(into, out, server_hostname=NAME, session=self.session)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        raw = connect(port)
        raw.sendall(out.read())
        return raw


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_waits_and_resumes_while_others_are_served(
    place: Place, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    shop = Shop(place, certificates)
    async with shop.open(version) as running:
        waiting = asyncio.create_task(asyncio.to_thread(shop.visit, running.port))
        await wait_until_async(lambda: shop.asker.begun)
        other = shop.certificates.client(version)
        stranger = connect(running.port)
        await asyncio.to_thread(lambda: other.wrap_socket(stranger, server_hostname=NAME).close())
        assert not waiting.done()
        shop.bring_back()
        threading.Thread(target=lambda: shop.asker.begun[0].answer(shop.asker, True)).start()
        assert await waiting
    assert shop.node.stats()["vips"]["shop"]["handshakes"]["pulled"] == 1
    assert shop.asker.ended == shop.asker.begun


@pytest.mark.parametrize("version", VERSIONS)
async def test_at_its_time_the_handshake_goes_on_in_full(
    place: Place, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    shop = Shop(place, certificates, waits_s=0.02)
    async with shop.open(version) as running:
        assert not await asyncio.to_thread(shop.visit, running.port)
        assert shop.asker.ended[0].over
    assert shop.node.stats()["vips"]["shop"]["lookups"]["asked"] == {"fetch": {"late": 1}}


async def test_a_wait_that_is_longer_than_the_handshake_may_take_leaves_time_for_a_full_one(
    place: Place, certificates: Certificates
) -> None:
    shop = Shop(place, certificates, waits_s=1.9)
    async with shop.open(VERSIONS[1], handshake_timeout_s=1.5) as running:
        assert not await asyncio.to_thread(shop.visit, running.port)
    assert shop.node.stats()["vips"]["shop"]["lookups"]["asked"] == {"fetch": {"given_up": 1}}
    assert shop.asker.ended == shop.asker.begun


async def test_a_client_that_goes_away_meanwhile_is_waited_for_no_longer_than_its_handshake_may_take(
    place: Place, certificates: Certificates
) -> None:
    shop = Shop(place, certificates, waits_s=1.0)
    async with shop.open(VERSIONS[0]) as running:
        reset(await asyncio.to_thread(shop.hello, running.port))
        await wait_until_async(lambda: shop.asker.begun)
        await wait_until_async(lambda: shop.asker.ended, what="the lookup ends")
        await wait_until_async(lambda: not len(running.table), what="the connection ends")


async def test_a_server_that_ends_gives_up_what_waits(place: Place, certificates: Certificates) -> None:
    shop = Shop(place, certificates)
    async with shop.open(VERSIONS[0]) as running:
        raw = await asyncio.to_thread(shop.hello, running.port)
        await wait_until_async(lambda: shop.asker.begun)
        assert not shop.asker.ended
        running.table.abort()
        await wait_until_async(lambda: shop.asker.ended)
        raw.close()
    assert shop.node.stats()["vips"]["shop"]["lookups"]["asked"] == {"fetch": {"given_up": 1}}


async def test_what_a_client_sends_while_it_is_paused_waits_in_its_socket(
    place: Place, certificates: Certificates
) -> None:
    """A client has nothing to say then; one that floods must fill the kernel's buffers, not ours."""
    shop = Shop(place, certificates)
    async with shop.open(VERSIONS[0]) as running:
        raw = await asyncio.to_thread(shop.hello, running.port)
        await wait_until_async(lambda: shop.asker.begun)
        raw.sendall(bytes(65536))
        paused = next(iter(running.table))
        assert isinstance(paused, ClientConnection)
        assert not paused.transport.is_reading()
        shop.asker.begun[0].answer(shop.asker, False)
        await wait_until_async(lambda: any(kind.startswith("tls:") for kind in running.faults.total), what="it is read")
        raw.close()


async def test_a_pause_that_nobody_knows_of_costs_its_connection(
    place: Place, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(place, certificates)
    async with shop.open(VERSIONS[0]) as running:
        monkeypatch.setattr(shop.node, "paused", lambda _connection: None)
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.to_thread(shop.visit, running.port)
        assert running.faults.total["tls: paused by nobody"] == 1
