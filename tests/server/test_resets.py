"""Tests of `server.resets`."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from meshcache_server.resets import reset


async def test_the_other_side_sees_a_reset_and_no_end() -> None:
    transports: list[asyncio.BaseTransport] = []

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(transport)

        def data_received(self, data: bytes) -> None:
            transport = cast(asyncio.Transport, transports[0])
            transport.write(b"some of it")
            reset(transport)
            reset(transport)  # twice does no harm

    server = await asyncio.get_running_loop().create_server(Accepting, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    writer.write(b"question")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    server.close()
