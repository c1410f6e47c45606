"""Tests of `server.acceptor`: connections of addresses that are known, with and without the compiled module.

What any connection does is tested in `test_connection`; here, what becomes of one that Python isn't told of.
"""

from __future__ import annotations

import asyncio
import os
import resource
import select
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from meshcache_server.connections import acceptor as acceptor_module
from meshcache_server.connections.adopted import AdoptedConnection, How
from meshcache_server.connections.routes import make_routes
from meshcache_server.connections.service import Service
from meshcache_server.connections.table import ConnectionTable
from meshcache_server.faults import Faults
from meshcache_server.tls import streams
from OpenSSL import SSL

from tests.server.connections.test_connection import GET, VERSIONS, fetch, hello, trickle
from tests.server.harness import NAME, Certificates, Dialogue, Running, Tally, connect, reset, respond, serving
from tests.support.waiting import wait_until_async

HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def _each_twin(stream_path: str) -> None:
    """All of it is true with an acceptor and without, unless it says otherwise."""


@pytest.fixture
def adopted(monkeypatch: pytest.MonkeyPatch, stream_path: str) -> list[int]:
    """How connections of this test were given over."""
    if stream_path != "c":
        pytest.skip("without an acceptor none are")
    hows: list[int] = []
    adopt = AdoptedConnection.adopt

    def noting(self: AdoptedConnection, line: Any, stream: Any, how: int, what: Any) -> None:
        hows.append(how)
        adopt(self, line, stream, how, what)

    monkeypatch.setattr(AdoptedConnection, "adopt", noting)
    return hows


def know(server: Running) -> None:
    """A client from here has spoken before."""
    server.table.silent.spoke(HERE)


def shaken(server: Running, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    return client.wrap_socket(connect(server.port), server_hostname=NAME, session=session)


def goodbye(tls: ssl.SSLSocket) -> bytes:
    """Say close_notify without having said anything; what the server then says, to its end."""
    with suppress(ssl.SSLError, OSError):
        tls.settimeout(30)
        tls.unwrap().close()
    tls.close()
    return b""


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_shakes_hands_and_goes_is_counted_and_no_more(
    certificates: Certificates, context: SSL.Context, version: ssl.TLSVersion, adopted: list[int]
) -> None:
    client = certificates.client(version)
    async with serving(context, starts_at_once=False) as server:
        know(server)
        for times in (1, 2):
            await asyncio.to_thread(lambda: goodbye(shaken(server, client)))
            await wait_until_async(lambda: len(server.table) == 0)
            assert server.tally.done == ["shop"] * times
        assert not adopted
        assert not server.faults.total
        assert not server.tally.withheld.told


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_callbacks_of_a_flight_have_run_before_it_is_sent(
    certificates: Certificates, context: SSL.Context, version: ssl.TLSVersion
) -> None:
    """So a new session is with the mesh before its client can use it: see `test_connection`, too."""
    sent_when_done: list[bool] = []

    def info(_connection: SSL.Connection, where: int, _code: int) -> None:
        if where & SSL.SSL_CB_HANDSHAKE_DONE:
            sent_when_done.append(bool(select.select([raw], [], [], 0)[0]))

    def run() -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = certificates.client(version).wrap_bio(incoming, outgoing, server_hostname=NAME)
        flights = 0
        while flights < 2:
            with suppress(ssl.SSLWantReadError):
                client.do_handshake()
            if flight := outgoing.read():
                flights += 1
                raw.sendall(flight)
            if flights < 2:
                incoming.write(raw.recv(65536))

    context.set_info_callback(info)
    async with serving(context, starts_at_once=False) as server:
        know(server)
        raw = connect(server.port)
        await asyncio.to_thread(run)
        await wait_until_async(lambda: sent_when_done == [False])
        raw.close()


async def test_the_server_says_goodbye_too(certificates: Certificates, context: SSL.Context) -> None:
    async with serving(context, starts_at_once=False) as server:
        know(server)

        def run() -> bytes:
            dialogue = Dialogue(server.port, certificates)
            dialogue.end()
            said = dialogue.read_to_end()  # a connection that merely breaks off is an error
            dialogue.close()
            return said

        assert await asyncio.to_thread(run) == b""
        await wait_until_async(lambda: len(server.table) == 0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_speaks_is_given_over_and_answered(
    certificates: Certificates, context: SSL.Context, version: ssl.TLSVersion, adopted: list[int]
) -> None:
    def run(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
        with shaken(server, client, session) as tls:
            tls.sendall(GET)
            assert tls.recv(65536).startswith(b"HTTP/1.1 200")
            while tls.recv(65536):
                pass
            return tls.session, tls.session_reused

    client = certificates.client(version)
    async with serving(context, starts_at_once=False) as server:
        know(server)
        session, resumed = await asyncio.to_thread(run, None)
        assert not resumed
        assert (await asyncio.to_thread(run, session))[1]
        assert adopted == [How.OPEN, How.OPEN]
        assert server.tally.done == ["shop", "shop"]


async def test_a_stranger_is_given_over_when_it_comes(
    certificates: Certificates, context: SSL.Context, adopted: list[int]
) -> None:
    async with serving(context) as server:
        await asyncio.to_thread(fetch, server.port, certificates)
        await asyncio.to_thread(fetch, server.port, certificates)
        assert adopted == [How.BORN, How.OPEN]
        assert server.tally.withheld.told[-1] == "keep"


async def test_an_application_that_begins_by_itself_has_the_connection_at_the_end_of_its_handshake(
    certificates: Certificates, context: SSL.Context
) -> None:
    def greet(client: Any) -> Any:
        application = respond(client)
        asyncio.get_running_loop().call_soon(client.send, b"hello")
        return application

    async with serving(context, greet) as server:
        know(server)
        assert server.service.starts_at_once
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        assert await asyncio.to_thread(dialogue.read, 5) == b"hello"
        dialogue.close()


async def test_a_silent_client_gets_its_tickets_after_a_moment_and_is_the_tables_then(
    certificates: Certificates, context: SSL.Context
) -> None:
    async with serving(context, starts_at_once=False) as server:
        know(server)
        tls = await asyncio.to_thread(shaken, server, certificates.client(ssl.TLSVersion.TLSv1_3))
        await wait_until_async(lambda: len(tuple(server.table)) == 1)
        tls.settimeout(30)
        tls.setblocking(False)

        def has_ticket() -> bool:
            with suppress(ssl.SSLWantReadError):
                tls.recv(1)
            return tls.session is not None and tls.session.has_ticket

        await wait_until_async(has_ticket)
        assert not server.faults.total
        tls.close()


async def test_a_slow_handshake_is_over_at_its_time(certificates: Certificates, context: SSL.Context) -> None:
    def run() -> None:
        slow = connect(server.port)
        with pytest.raises(ConnectionError):
            trickle(slow, hello(certificates))

    async with serving(context, handshake_timeout_s=0.3) as server:
        know(server)
        await asyncio.to_thread(run)
        await wait_until_async(lambda: len(server.table) == 0)
        assert server.faults.total["handshake timeout"] == 1
        assert server.tally.failed == ["shop"]


async def test_what_is_no_handshake_is_told_so_and_counted(certificates: Certificates, context: SSL.Context) -> None:
    def run() -> bytes:
        with connect(server.port) as raw:
            raw.sendall(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00" * 2)
            said = b""
            while more := raw.recv(100):
                said += more
            return said[:1]

    async with serving(context) as server:
        know(server)
        assert await asyncio.to_thread(run) == b"\x15", "an alert"
        await wait_until_async(lambda: len(server.table) == 0)
        assert [kind[:4] for kind in server.faults.total] == ["tls:"]
        assert server.tally.failed == ["shop"]


@pytest.mark.parametrize("how", ["end", "reset", "nothing"])
async def test_who_goes_in_its_handshake_has_failed_one_and_who_never_spoke_hasnt(
    certificates: Certificates, context: SSL.Context, how: str
) -> None:
    async with serving(context) as server:
        know(server)
        raw = await asyncio.to_thread(connect, server.port)
        if how != "nothing":
            raw.sendall(hello(certificates)[:-5])
            await wait_until_async(lambda: server.table.handshakes() == 1)
        if how == "reset":
            reset(raw)
        else:
            raw.close()
        if how != "nothing":
            await wait_until_async(lambda: server.tally.failed == ["shop"])
        await wait_until_async(lambda: len(server.table) == 0)
        assert server.faults.total["connection reset"] == (how == "reset")
        assert not server.tally.done


async def test_who_hangs_up_right_after_its_handshake_made_nobodys_session(
    certificates: Certificates, context: SSL.Context
) -> None:
    async with serving(context, starts_at_once=False) as server:
        know(server)
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        dialogue.raw.shutdown(socket.SHUT_RDWR)
        await wait_until_async(lambda: server.tally.withheld.told == ["forget"])
        assert server.faults.total["ended right after the handshake"] == 1
        dialogue.close()
        dialogue = await asyncio.to_thread(Dialogue, server.port, certificates)
        await wait_until_async(lambda: "hold" in server.tally.withheld.told)
        dialogue.close()


async def test_connections_that_only_shake_hands_count_for_the_limit(
    certificates: Certificates, context: SSL.Context
) -> None:
    async with serving(context, connections_max=1) as server:
        know(server)
        slow = connect(server.port)
        slow.sendall(hello(certificates)[:-5])
        await wait_until_async(lambda: len(server.table) == 1)

        def run() -> None:
            with pytest.raises((SSL.Error, ConnectionError)):
                Dialogue(server.port, certificates)

        await asyncio.to_thread(run)
        assert server.faults.total["over max_connections"] == 1
        slow.close()


async def test_a_handshake_that_has_begun_is_let_end_when_the_server_stops(
    certificates: Certificates, context: SSL.Context
) -> None:
    async with serving(context) as server:
        know(server)
        first = hello(certificates)
        begun = connect(server.port)
        begun.sendall(first[:-5])
        await wait_until_async(lambda: server.table.handshakes() == 1)
        draining = asyncio.create_task(server.table.drain(30.0))
        await asyncio.sleep(0)
        begun.sendall(first[-5:])
        begun.settimeout(30)
        assert (await asyncio.to_thread(begun.recv, 5))[:1] == b"\x16"
        assert not draining.done()
        begun.close()
        await draining


async def test_what_is_open_when_the_server_is_cut_off_ends(certificates: Certificates, context: SSL.Context) -> None:
    async with serving(context) as server:
        know(server)
        begun = connect(server.port)
        begun.sendall(hello(certificates)[:-5])
        await wait_until_async(lambda: len(server.table) == 1)
        server.table.abort()
        await wait_until_async(lambda: len(server.table) == 0)
        begun.close()


async def test_without_a_descriptor_nobody_is_accepted_for_a_moment(
    certificates: Certificates, context: SSL.Context, stream_path: str
) -> None:
    if stream_path != "c":
        pytest.skip("the loops have ways of their own")
    async with serving(context) as server:
        know(server)
        waiting = connect(server.port)  # not accepted before its first byte
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        next_free = os.dup(0)
        os.close(next_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, hard))
        try:
            waiting.sendall(GET)
            await wait_until_async(lambda: server.faults.total["no descriptor left to accept with"])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert await asyncio.to_thread(waiting.recv, 1) == b""
        assert server.faults.total["tls: http request"] == 1
        waiting.close()


async def test_a_listening_socket_that_cant_be_watched_again_is_tried_again_and_the_others_are_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if streams.compiled is None:
        pytest.skip("there is none")
    monkeypatch.setattr(acceptor_module, "AGAIN_S", 0.01)
    table = ConnectionTable(10, 1.0, Faults())
    table.start()
    acceptor = table.acceptor
    assert acceptor is not None
    service = Service("shop", SSL.Context(SSL.TLS_METHOD), Tally(), respond, 1.0, 1.0)
    came: list[Any] = []
    with socket.socketpair()[0] as first, socket.socketpair()[0] as other, socket.create_server((HERE, 0)) as second:
        acceptor.serve(first, routes := make_routes([(service, [])], service), lambda *_what: None)
        acceptor.serve(second, routes, lambda line, *_what: came.append(line))
        waiting = connect(second.getsockname()[1])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            await wait_until_async(lambda: table.faults.total["no descriptor left to accept with"])
            os.close(first.fileno())  # its last: while a copy is open, the kernel goes on watching what was closed
            await wait_until_async(lambda: table.faults.total["no memory to accept with"])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.dup2(other.fileno(), first.fileno())
        await wait_until_async(lambda: came)
        waiting.close()
    table.stop()


class Lost:
    """A line's protocol that notes how it ended."""

    def __init__(self) -> None:
        self.why: list[Exception | None] = []

    def connection_lost(self, error: Exception | None) -> None:
        self.why.append(error)


async def test_a_connection_that_cant_be_watched_is_lost_and_that_is_said() -> None:
    """Without memory epoll takes nobody in: here something else stands in its place, which takes nobody either."""
    if streams.compiled is None:
        pytest.skip("there is none")
    came: list[Any] = []
    lost = Lost()

    def adopt(line: Any, *_what: Any) -> None:
        line.set_protocol(lost)
        came.append(line)

    acceptor = streams.compiled.Acceptor(lambda settle: settle())
    acceptor.limit = 10
    with socket.create_server((HERE, 0)) as listening:
        listening.setblocking(False)
        listening_socket = streams.compiled.ListeningSocket(listening.fileno(), adopt)
        acceptor.watch(listening_socket)
        with connect(listening.getsockname()[1]):
            await wait_until_async(lambda: acceptor.step() == 0 and came)
            came[0].pause_reading()
            kept, other = os.dup(acceptor.fileno()), os.open(os.devnull, os.O_RDONLY)
            os.dup2(other, acceptor.fileno())
            came[0].resume_reading()
            assert acceptor.step() & acceptor_module.UNWATCHED
            assert isinstance(lost.why[0], OSError)
            os.dup2(kept, acceptor.fileno())
            assert acceptor.step() == acceptor.open == 0
            os.close(kept)
            os.close(other)
        acceptor.unwatch(listening_socket)
    acceptor.close()


async def test_no_descriptor_is_left_behind(certificates: Certificates, context: SSL.Context) -> None:
    def some() -> None:
        for _ in range(5):
            fetch(server.port, certificates)
            dialogue = Dialogue(server.port, certificates)
            dialogue.end()
            dialogue.close()
            for data in (b"", GET, hello(certificates)):
                with connect(server.port) as raw:
                    raw.sendall(data)

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with serving(context) as server:
        know(server)
        await asyncio.to_thread(some)
        await wait_until_async(lambda: len(server.table) == 0)
        before = descriptors()
        await asyncio.to_thread(some)
        await wait_until_async(lambda: len(server.table) == 0 and descriptors() <= before)


async def test_an_acceptor_takes_listening_sockets_alone_and_those_makers_alone() -> None:
    if streams.compiled is None:
        pytest.skip("there is none")
    acceptor = streams.compiled.Acceptor(asyncio.get_running_loop().call_soon)
    for method in (acceptor.watch, acceptor.unwatch):
        with pytest.raises(TypeError, match="a listening socket is wanted"):
            method(acceptor)
    with pytest.raises(TypeError, match="a maker of streams is wanted"):
        streams.compiled.ListeningSocket(0, print, maker=print)
    with pytest.raises(OSError, match="Bad file descriptor"):
        acceptor.watch(streams.compiled.ListeningSocket(-1, print))
    acceptor.close()
    acceptor.close()
    assert acceptor.step() == 0
    with pytest.raises(TypeError):
        streams.compiled.Line()
