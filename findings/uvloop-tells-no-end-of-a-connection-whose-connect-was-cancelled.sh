#!/usr/bin/env bash
# uvloop 0.23.0 never calls `connection_lost` for a connection whose `create_connection` is cancelled once it is made.
#
# Between `connection_made` and the moment in which the caller goes on lies one turn of the loop. Where the caller is cancelled
# in it, or `asyncio.timeout` runs out, both loops close the new connection. asyncio (Python 3.11 to 3.13) then calls
# `connection_lost`, as for every connection that was made; uvloop calls nothing. Who counts connections in these two methods,
# such as a balancer that sends the next client to the backend with the fewest, counts one too many for good, and who
# corrects that by the CancelledError counts one too few on asyncio.
#
# Exits 1 if that changes. Needs python3.11 or later, Linux and the network for pip; talks to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -qq install uvloop==0.23.0
"$folder/venv/bin/python" - <<'PROGRAM'
import asyncio
import platform
import socket

import uvloop

EXPECTED = {"asyncio": ["made", "lost", "cancelled", "closed"], "uvloop": ["made", "cancelled", "closed"]}


async def connect():
    seen = []

    class Counted(asyncio.Protocol):
        def connection_made(self, transport):
            seen.append("made")
            connecting.cancel()

        def connection_lost(self, error):
            seen.append("lost")

    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        connecting = loop.create_task(loop.create_connection(Counted, *listening.getsockname()))
        try:
            await asyncio.wait_for(asyncio.shield(connecting), 20)
        except asyncio.CancelledError:
            seen.append("cancelled")
        await asyncio.sleep(1)  # for what may still be told
        peer, _ = listening.accept()
        peer.settimeout(20)
        if not peer.recv(1):
            seen.append("closed")
        peer.close()
    return seen


print(f"Python {platform.python_version()}, uvloop {uvloop.__version__}")
found = {"asyncio": asyncio.run(connect()), "uvloop": uvloop.run(connect())}
for loop, seen in found.items():
    print(f"{loop}: {', '.join(seen)}")
raise SystemExit(found != EXPECTED)
PROGRAM
