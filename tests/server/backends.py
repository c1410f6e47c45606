"""Backends for relay tests: real TCP servers in the test's loop, each with one way of behaving."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Seen:
    """What a backend has met: how many connections, and what each of them sent until its end or its reset."""

    port: int = 0
    connections: int = 0
    ended: list[bytes] = field(default_factory=list)
    reset: list[bytes] = field(default_factory=list)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything back as it comes."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def upper_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Nothing until the client's end, then all of it in capitals: works only where half-close does."""
    writer.write((await reader.read()).upper())


async def greet_and_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A greeting and an end at once, then read on: the other half-close."""
    writer.write(b"hello")
    writer.write_eof()
    await reader.read()


async def greet_and_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A greeting, then RST."""
    writer.write(b"hello")
    await writer.drain()
    await reader.read(1)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def backend(handler: Handler) -> AsyncIterator[Seen]:
    """A server on a free port of 127.0.0.1."""
    seen = Seen()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        noted = bytearray()
        reading = reader.read

        async def read(count: int = -1) -> bytes:
            data = await reading(count)
            if count >= 0:  # without a count StreamReader.read calls itself, with one
                noted.extend(data)
            return data

        reader.read = read  # type: ignore[method-assign]
        try:
            await handler(reader, writer)
        except ConnectionError:
            seen.reset.append(bytes(noted))
        else:
            seen.ended.append(bytes(noted))
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
