"""Tests of `server.resets`."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

import pytest
from meshcache_server.resets import end_writing, reset

from tests.support.waiting import PATIENCE_S, wait_until

TCP_CLOSE = b"\x07"
"""What tcp_info begins with where the connection is over (linux/tcp_states.h)."""


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
    reset(cast(asyncio.Transport, transports[0]))  # nor after its end
    writer.close()
    server.close()


async def test_an_end_that_comes_after_the_peers_reset_is_no_fault() -> None:
    """The loop learns of a reset when it looks; until then the transport still takes what is to be sent."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)

        def data_received(self, data: bytes) -> None:
            link = self.transport.get_extra_info("socket")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            try:
                wait_until(lambda: link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == TCP_CLOSE)
                end_writing(self.transport)
            except BaseException as error:
                ended.set_exception(error)
                raise
            ended.set_result(None)

    server = await loop.create_server(Accepting, "127.0.0.1", 0)
    client = socket.create_connection(server.sockets[0].getsockname())
    client.sendall(b"question")
    await asyncio.wait_for(ended, PATIENCE_S)
    server.close()
