"""What handshakes that wait in a callback pay for a peer that is frozen (SIGSTOP) while it serves.

Clients make sessions on one server as fast as they can. It is frozen, and each of its last clients goes to the other
server with what it has, the newest first, one after the other. What the frozen one hadn't pushed can't resume; with a
wait it costs that too. All others resume as ever.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from benchmarks.material import NAME
from benchmarks.processes import Server
from benchmarks.report import Figure
from benchmarks.statistic import median

_CLIENTS = 4
_MAKES_S = 0.4
_RETURNS = 24
"""Of the newest; older ones were pushed long ago."""

_GIVES_UP_S = 0.2
"""Of a client that shakes hands with the frozen server."""

_BETWEEN_S = 1.5
"""For the servers to find each other well again."""


class _Round(NamedTuple):
    resumed: int
    missed_ms: list[float]
    waits: int
    waited_ms: float


def measure(mode: str, meshes: dict[int, list[Server]], rounds: int) -> Iterator[Figure]:
    """Freeze the first server of each mesh in turn, so many times."""
    found: dict[int, list[_Round]] = defaultdict(list)
    for number in range(rounds):
        for hold_ms, servers in list(meshes.items())[:: -1 if number % 2 else 1]:
            found[hold_ms].append(_round(*servers))
    for hold_ms, each in found.items():
        waits, waited_ms = sum(one.waits for one in each), sum(one.waited_ms for one in each)
        missed = [took_ms for one in each for took_ms in one.missed_ms]
        detail: dict[str, object] = {
            "freezes": len(each),
            "returns": len(each) * _RETURNS,
            "missed": len(missed),
            "missed_ms": median(missed) if missed else None,
            "waits": waits,
            "waits_most": max(one.waits for one in each),
            "wait_ms": waited_ms / waits if waits else 0.0,
            "load": os.getloadavg()[0],
        }
        name = f"{mode}, TLS 1.2, {hold_ms} ms, waited for a frozen server, each time it froze"
        yield Figure("in_callback", name, waited_ms / len(each), "ms", detail=detail)


def _round(freezes: Server, other: Server) -> _Round:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    other.ask("waits")
    sessions = _made_until_frozen(freezes, context)
    try:
        returns = [_shake(other, context, session) for session in sessions[: -_RETURNS - 1 : -1]]
    finally:
        os.kill(freezes.pid, signal.SIGCONT)
    waits: dict[str, Any] = json.loads(other.ask("waits"))
    time.sleep(_BETWEEN_S)
    missed = [took_ms for resumed, took_ms in returns if not resumed]
    return _Round(sum(resumed for resumed, _ in returns), missed, waits["waits"], waits["waited_ms"])


def _made_until_frozen(server: Server, context: ssl.SSLContext) -> list[ssl.SSLSession]:
    """Sessions in the order in which they were made."""
    made: list[ssl.SSLSession] = []
    frozen = threading.Event()

    def make() -> None:
        while not frozen.is_set():
            with suppress(OSError), _connected(server, context, None, _GIVES_UP_S) as tls:
                if tls.session is not None:
                    made.append(tls.session)

    threads = [threading.Thread(target=make) for _ in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(_MAKES_S)
    os.kill(server.pid, signal.SIGSTOP)
    frozen.set()
    ready = list(made)
    for thread in threads:
        thread.join()
    return ready


def _shake(server: Server, context: ssl.SSLContext, session: ssl.SSLSession) -> tuple[bool, float]:
    began = time.monotonic()
    with _connected(server, context, session, 10.0) as tls:
        return bool(tls.session_reused), (time.monotonic() - began) * 1000


def _connected(
    server: Server, context: ssl.SSLContext, session: ssl.SSLSession | None, timeout_s: float
) -> ssl.SSLSocket:
    plain = socket.create_connection(server.plan.tls, timeout_s)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=NAME, session=session)
