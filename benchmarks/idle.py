"""What an idle client costs: memory of 10,000 open connections, and new clients' handshakes beside them."""

from __future__ import annotations

import multiprocessing
import resource
import socket
import ssl
import time
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import fronts, xresume
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.material import NAME, VIP
from benchmarks.report import Figure
from benchmarks.servers import folder

CONNECTIONS = 10_000
WARM = 50
"""Connections before the first look at memory: what the first ones need once isn't theirs."""

KIB_MAX = 20.0
NEW_PER_S = 500
P99_MS_MAX = 50.0
CLIENT_S_MAX = 600.0
FILES = 32_000
_EACH = 2_000
"""Connections that one client process holds."""


def run(effort: Effort) -> list[Figure]:
    """Memory a connection, and the handshakes of clients that come while so many are open."""
    count = CONNECTIONS if effort is FULL else 20 if effort is SMOKE else 2_000
    _allow_files()
    figures: list[Figure] = []
    with folder() as place:
        program = xresume.build(place)
        for name in fronts.names():
            if name in ("meshcache", "before"):
                figures += _measure(name, place, count, effort, program)
    return figures


def _measure(name: str, place: Path, count: int, effort: Effort, program: Path) -> list[Figure]:
    limits = f"[server]\nmax_connections = {2 * CONNECTIONS}\nidle_timeout_s = 3600\nhandshake_timeout_s = 60\n"
    with fronts.front(name, place, None, limits) as front, ExitStack() as stack:
        stack.enter_context(_Holders(front.port, place, min(WARM, count)))
        before = front.resident_bytes()
        stack.enter_context(_Holders(front.port, place, count))
        kib = (front.resident_bytes() - before) / count / 1024
        seconds = 10.0 if effort is FULL else 1.0
        clients = xresume.Run(program, *_at_a_rate(front.port, seconds))
        found = clients.result(CLIENT_S_MAX)
    wall_s, handshakes = float(found["wall_s"]), float(found["handshakes"])
    p99 = xresume.worst(found, "p99")
    detail = {"connections": count, "errors": found["errors"], "rate": handshakes / wall_s}
    ours = name == "meshcache"
    return [
        Figure("idle", f"{name}, memory a connection", kib, "KiB", KIB_MAX if ours else None, detail=detail),
        Figure("idle", f"{name}, new ones beside, p99", p99, "ms", P99_MS_MAX if ours else None, detail=detail),
        Figure("idle", f"{name}, new ones beside", handshakes / wall_s, "1/s", detail=detail),
    ]


def _at_a_rate(port: int, seconds: float) -> tuple[str | int | float, ...]:
    """Four clients with pauses, so that about `NEW_PER_S` come, most of them with a session."""
    return tuple(xresume.cross(port, seconds, 4, "1.3", "-r", "1", "--gap", "12"))


class _Holders:
    """Processes that have connections open, their handshakes over, until the end of the block."""

    def __init__(self, port: int, place: Path, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._held: list[tuple[Any, Connection]] = []
        for start in range(0, count, _EACH):
            ours, theirs = context.Pipe()
            arguments = (theirs, port, f"{place}/{VIP}.pem", min(_EACH, count - start))
            process = context.Process(target=_hold, args=arguments, daemon=True)
            process.start()
            self._held.append((process, ours))

    def __enter__(self) -> None:
        deadline = time.monotonic() + CLIENT_S_MAX
        for process, ours in self._held:
            if not ours.poll(max(deadline - time.monotonic(), 0)):
                raise TimeoutError("the clients didn't get their connections")
            ours.recv()
            assert process.is_alive(), "it has said that it is ready"

    def __exit__(self, *_exc: object) -> None:
        for process, ours in self._held:
            with suppress(OSError):
                ours.send("end")
            process.join(30)
            process.kill()


def _hold(parent: Connection, port: int, authority: str, count: int) -> None:
    """Only the sockets are kept: this end's TLS would take three times the memory that is measured."""
    _allow_files()
    context = ssl.create_default_context(cafile=authority)
    held = []
    for _ in range(count):
        tls = context.wrap_socket(socket.create_connection((fronts.HOST, port), 60), server_hostname=NAME)
        held.append(socket.socket(fileno=tls.detach()))
    parent.send("ready")
    parent.recv()
    for each in held:
        each.close()


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # only root may go beyond the hard limit; less will do for fewer
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), max(hard, FILES)))
