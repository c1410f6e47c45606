"""What an idle client costs: memory of 10,000 open connections, and new clients' handshakes beside them.

For comparison, in the same run: what OpenSSL takes alone for a connection of which nothing else is kept, and what
nginx's stream module and haproxy take where they stand before a backend, as this server does then.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from benchmarks import fronts, relay, xresume
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.fresh import in_fresh_process
from benchmarks.handshake import client_context
from benchmarks.material import NAME, VIP
from benchmarks.report import Figure
from benchmarks.servers import folder

CONNECTIONS = 10_000
WARM = 50
"""Connections before the first look at memory: what the first ones need once isn't theirs."""

KIB_MAX = 20.0
ALONE = 2_000
"""Enough for a mean of what takes the same memory each time."""

RELAYED = 4_000
"""Two descriptors each; sandboxes have hard limits of 20,000."""

NEW_PER_S = 500
P99_MS_MAX = 50.0
CLIENT_S_MAX = 600.0
FILES = 32_000
LIMITS = f"[server]\nmax_connections = {2 * CONNECTIONS}\nidle_timeout_s = 3600\nhandshake_timeout_s = 60\n"
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
        alone = in_fresh_process(_openssl_alone_kib, place, min(count, ALONE))
        figures.append(Figure("idle", "OpenSSL alone, memory a connection", alone, "KiB"))
        if effort is not SMOKE:
            figures += _relaying(place, min(count, RELAYED))
    return figures


def _relaying(place: Path, count: int) -> Iterator[Figure]:
    """Each terminator with a backend, to which it connects for every client."""
    with relay.backend() as backend:
        for name in fronts.names():
            with fronts.front(name, place, backend, LIMITS) as front:
                kib = _kib_each(front, place, count)
            yield Figure("idle", f"{name} with a backend, memory a connection", kib, "KiB")


def _kib_each(front: fronts.Front, place: Path, count: int) -> float:
    with _Holders(front.port, place, min(WARM, count)):
        before = front.resident_bytes()
        with _Holders(front.port, place, count):
            return (front.resident_bytes() - before) / count / 1024


def _openssl_alone_kib(place: Path, count: int) -> float:
    """Server ends of TLS 1.3 with their handshakes behind them and no BIO, in a process that keeps nothing else."""
    server = SSL.Context(SSL.TLS_SERVER_METHOD)
    server.use_certificate_chain_file(str(place / f"{VIP}.pem"))
    server.use_privatekey_file(str(place / f"{VIP}.key"))
    server.set_mode(SSL.MODE_RELEASE_BUFFERS)
    server.set_options(SSL.OP_NO_TICKET)
    server.set_session_cache_mode(SSL.SESS_CACHE_SERVER | SSL.SESS_CACHE_NO_INTERNAL)
    client = client_context("1.3")
    kept = [_established(server, client) for _ in range(WARM)]
    before = fronts.resident_bytes(os.getpid())
    kept += [_established(server, client) for _ in range(count)]
    return (fronts.resident_bytes(os.getpid()) - before) / count / 1024


def _established(server: SSL.Context, client: ssl.SSLContext) -> object:
    """The SSL object of one connection, and nothing that is not OpenSSL's."""
    ours = SSL.Connection(server)
    ours.set_accept_state()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client.wrap_bio(incoming, outgoing, server_hostname=NAME)
    for _ in range(2):
        with suppress(ssl.SSLWantReadError):
            theirs.do_handshake()
        ours.bio_write(outgoing.read())
        with suppress(SSL.WantReadError):
            ours.do_handshake()
        incoming.write(ours.bio_read(1 << 16))
    assert ours.get_finished() is not None, "the handshake is over"
    lib.SSL_set_bio(ours._ssl, ffi.NULL, ffi.NULL)  # noqa: SLF001  # as small as it can be
    return ours._ssl  # noqa: SLF001


def _measure(name: str, place: Path, count: int, effort: Effort, program: Path) -> list[Figure]:
    with fronts.front(name, place, None, LIMITS) as front, ExitStack() as stack:
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
    """Four clients with pauses, so that `NEW_PER_S` or a few more come, most of them with a session."""
    return tuple(xresume.cross(port, seconds, 4, "1.3", "-r", "1", "--gap", "10"))


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
