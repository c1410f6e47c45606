"""Tests of `server.listener`."""

from __future__ import annotations

import asyncio
import socket

import pytest
from meshcache_server.connections.listener import Listener
from meshcache_server.connections.routes import make_routes
from meshcache_server.connections.table import ConnectionTable
from meshcache_server.faults import Faults
from OpenSSL import SSL

from tests.server.harness import Certificates, Dialogue, reset, serving

ASK = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"


def test_an_address_in_use_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = Listener(f"127.0.0.1:{taken.getsockname()[1]}", ConnectionTable(1, 1, Faults()))
        with pytest.raises(OSError, match="in use"):
            listener.bind()


def test_a_port_of_zero_is_told_as_what_it_became() -> None:
    listener = Listener("127.0.0.1:0", ConnectionTable(1, 1, Faults()))
    listener.bind()
    assert int(listener.bound_address.removeprefix("127.0.0.1:")) > 0
    listener.close()


def test_ipv6_and_ipv4_may_have_the_same_port() -> None:
    first = Listener("[::]:0", ConnectionTable(1, 1, Faults()))
    first.bind()
    port = first.bound_address.rpartition(":")[2]
    second = Listener(f"0.0.0.0:{port}", ConnectionTable(1, 1, Faults()))
    second.bind()
    assert first.bound_address == f"[::]:{port}"
    first.close()
    second.close()


async def test_an_address_is_free_again_as_soon_as_it_is_closed(
    certificates: Certificates, context: SSL.Context
) -> None:
    """With connections of the last run in TIME_WAIT, and one still open."""
    async with serving(context) as server:
        still_open = await asyncio.to_thread(Dialogue, server.port, certificates)
        gone = await asyncio.to_thread(Dialogue, server.port, certificates)
        assert await asyncio.to_thread(gone.ask, ASK)
        gone.close()
        server.listener.close()
        again = Listener(f"127.0.0.1:{server.port}", server.table)
        again.bind()
        await again.serve(make_routes([], server.service))
        assert await asyncio.to_thread(still_open.ask, ASK)
        still_open.close()
        fresh = await asyncio.to_thread(Dialogue, server.port, certificates)
        assert await asyncio.to_thread(fresh.ask, ASK)
        reset(fresh.raw)
        again.close()


async def test_a_new_service_is_for_new_connections(certificates: Certificates, context: SSL.Context) -> None:
    from dataclasses import replace

    async with serving(context) as server:
        before = await asyncio.to_thread(Dialogue, server.port, certificates)
        other = replace(server.service, vip="other")
        await server.listener.serve(make_routes([], other))
        after = await asyncio.to_thread(Dialogue, server.port, certificates)
        assert server.tally.done == ["shop", "other"]
        for dialogue in (before, after):
            assert await asyncio.to_thread(dialogue.ask, ASK)
            dialogue.close()
