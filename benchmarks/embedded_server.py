"""A server of Python's own `ssl` for benchmarks, with a node in it: its handshakes can't be paused.

    threads   blocking sockets, a thread for each connection
    loop      asyncio, one thread for all

Started as ``python -m benchmarks.embedded_server MODE FILE``, and asked like `benchmarks.server`. What handshakes
wait in OpenSSL's callback is measured where they wait: how often, for how long, and how many at a time.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.material import VIP
from benchmarks.server import answer_questions
from meshcache import MeshNode, load
from meshcache.runtime.lookups.asking import VipAsking

_BACKLOG = 512
_READ_BYTES = 4096


class Waits:
    """How long threads waited in callbacks."""

    def __init__(self) -> None:
        self.waits = self.at_a_time = self.most_at_a_time = 0
        self.waited_s = 0.0
        self._lock = threading.Lock()
        self._hold = VipAsking.hold

    def hold(self, asking: VipAsking, session_id: bytes) -> None:
        """Wait as the node does."""
        began = time.monotonic()
        with self._lock:
            self.at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        self._hold(asking, session_id)
        with self._lock:
            self.at_a_time -= 1
            self.waits += 1
            self.waited_s += time.monotonic() - began

    def take(self, _rest: str = "") -> str:
        """Return what there was since the last call."""
        with self._lock:
            found = {"waits": self.waits, "waited_ms": self.waited_s * 1000, "most_at_a_time": self.most_at_a_time}
            self.waits = self.most_at_a_time = 0
            self.waited_s = 0.0
        return json.dumps(found)


def main(mode: str, file: Path) -> None:
    """Serve until the one who asks is gone."""
    settings, waits = load(file), Waits()
    VipAsking.hold = lambda asking, session_id: waits.hold(asking, session_id)  # type: ignore[method-assign]
    (vip,) = settings.vips
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file.parent / f"{VIP}.pem", file.parent / f"{VIP}.key")
    with MeshNode(settings) as node, socket.socket() as listening:
        node.attach(context, vip=VIP)
        host, _, port = vip.listen[0].rpartition(":")
        listening.bind((host, int(port)))
        listening.listen(_BACKLOG)
        answer_questions(
            {
                "peers": lambda _: sum(peer["state"] == "alive" for peer in node.peers()),
                "stats": lambda _: json.dumps(node.stats()),
                "waits": waits.take,
            }
        )
        {"threads": _serve_by_threads, "loop": _serve_by_loop}[mode](listening, context)


def _serve_by_threads(listening: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        client, _ = listening.accept()
        threading.Thread(target=_serve, args=(client, context), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext) -> None:
    with client, suppress(OSError):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(client, server_side=True) as tls:
            while tls.recv(_READ_BYTES):
                pass


def _serve_by_loop(listening: socket.socket, context: ssl.SSLContext) -> None:
    async def serve() -> None:
        server = await asyncio.start_server(_serve_stream, sock=listening, ssl=context, backlog=_BACKLOG)
        await server.serve_forever()

    asyncio.run(serve())


async def _serve_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while await reader.read(_READ_BYTES):
            pass
        writer.close()
        await writer.wait_closed()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
