#!/usr/bin/env bash
# `create_connection` of asyncio (seen with Python 3.11 to 3.13) returns as if all were well where `connection_made` raised.
#
# What a protocol raises in `connection_made` goes to the loop's exception handler, which logs it. The caller is given
# transport and protocol, and can't know. asyncio then reads on: `data_received` is called on a protocol that never finished
# its first method, and `connection_lost` at the end. uvloop 0.23.0 returns in the same way and never reads: the peer's bytes
# and its end stay in the kernel, neither `data_received` nor `connection_lost` is called, and the socket stays open.
# A relay that opens its backend's connection so, and writes a header in `connection_made`, relays without the header on the
# one loop and waits for ever on the other. What may raise belongs before `create_connection`, or after it.
#
# Exits 1 if that changes. Needs python3.11 or later, Linux and the network for pip; talks to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -qq install uvloop==0.23.0
"$folder/venv/bin/python" - <<'PROGRAM'
import asyncio
import platform

import uvloop

EXPECTED = {
    "asyncio": ["logged", "returned", "data_received", "connection_lost"],
    "uvloop": ["logged", "returned"],
}


async def connect():
    seen = []

    class Unprepared(asyncio.Protocol):
        def connection_made(self, transport):
            raise LookupError("a header that can't be written")

        def data_received(self, data):
            seen.append("data_received")

        def connection_lost(self, error):
            seen.append("connection_lost")

    async def greet(reader, writer):
        writer.write(b"welcome")
        await writer.drain()
        writer.close()
        greeted.set()

    loop, greeted = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(lambda _loop, context: seen.append("logged"))
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    transport, _ = await asyncio.wait_for(loop.create_connection(Unprepared, *server.sockets[0].getsockname()), 20)
    seen.insert(1, "returned")
    await asyncio.wait_for(greeted.wait(), 20)
    await asyncio.sleep(1)  # for what may still be told
    found = list(seen)
    transport.abort()
    server.close()
    return found


print(f"Python {platform.python_version()}, uvloop {uvloop.__version__}")
found = {"asyncio": asyncio.run(connect()), "uvloop": uvloop.run(connect())}
for loop, seen in found.items():
    print(f"{loop}: {', '.join(seen)}")
raise SystemExit(found != EXPECTED)
PROGRAM
