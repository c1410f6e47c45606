#!/usr/bin/env bash
# asyncio (seen with Python 3.10 to 3.13) sets no TCP_NODELAY on connections of a listening socket that the caller made.
#
# Its documentation says that TCP_NODELAY is set for all TCP connections. It is only where the socket's `proto` is IPPROTO_TCP.
# With host and port asyncio makes such a socket itself; `socket.create_server()`, `socket.socket()` and socket.fromfd() leave
# `proto` at 0, and accepted sockets inherit it. So a server loses the option by being given its socket: by systemd, by a
# parent of several workers, by a test. uvicorn 0.54.0 is hit twice: `--workers 2` (its issue 3149) passes a socket that it made,
# and `--fd`, made for the sockets of a process manager, takes every socket for one of AF_UNIX.
# Seen: option on with host and port, off in the three other ways. An answer that is written in two parts, as uvicorn does,
# then waits for the client's delayed acknowledgement: some 40 ms a request on loopback instead of 1 (shown, not checked).
#
# Exits 1 if that changes. Needs python3.10 or later, Linux and the network for pip; talks to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -qq install uvicorn==0.54.0 h11==0.16.0
"$folder/venv/bin/python" - <<'PROGRAM'
import asyncio
import http.client
import platform
import socket
import statistics
import time

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

seen: dict[str, int] = {}


def note(name, transport):
    seen[name] = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"hi\n"})


def visits(port):
    """The median of 20 requests on one connection, in ms."""
    client, times = http.client.HTTPConnection("127.0.0.1", port, timeout=20), []
    for _ in range(20):
        began = time.perf_counter()
        client.request("GET", "/")
        client.getresponse().read()
        times.append(1000 * (time.perf_counter() - began))
    client.close()
    return statistics.median(times)


async def with_asyncio(name, **where):
    server = await asyncio.start_server(lambda reader, writer: note(name, writer.transport), **where)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    while name not in seen:
        await asyncio.sleep(0.01)
    writer.close()
    server.close()
    print(f"asyncio, {name}: TCP_NODELAY {seen[name]}")


async def with_uvicorn(name, sockets=None, **where):
    class Protocol(H11Protocol):
        def connection_made(self, transport):
            note(name, transport)
            super().connection_made(transport)

    config = uvicorn.Config(application, http=Protocol, lifespan="off", log_level="critical", loop="asyncio", **where)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([config.bind_socket()] if sockets else None))
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    median = await asyncio.get_running_loop().run_in_executor(None, visits, port)
    server.should_exit = True
    await serving
    print(f"uvicorn, {name}: TCP_NODELAY {seen[name]}, a request takes {median:.1f} ms")


async def main():
    await with_asyncio("host and port", host="127.0.0.1", port=0)
    await with_asyncio("sock=socket.create_server()", sock=socket.create_server(("127.0.0.1", 0)))
    await with_uvicorn("its --host and --port", host="127.0.0.1", port=0)
    await with_uvicorn("as --workers 2 does", sockets=True, host="127.0.0.1", port=0)
    listening = socket.create_server(("127.0.0.1", 0))
    await with_uvicorn("its --fd", fd=listening.fileno())


print(f"Python {platform.python_version()}, uvicorn {uvicorn.__version__}")
asyncio.run(main())
raise SystemExit([bool(value) for value in seen.values()] != [True, False, True, False, False])
PROGRAM
