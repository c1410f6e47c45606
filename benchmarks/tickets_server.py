"""Tickets under the mesh's keys in the bundled server, clients in C: CPU against OpenSSL's own tickets in the same
server, and how many resume that come back to another server at once.

Both servers of the ratio run all the time and take turns in short rounds: what else the machine does meets both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import xresume
from benchmarks.cpu import VERSIONS, Measure, compare
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.material import NAME
from benchmarks.processes import Server
from benchmarks.report import Figure
from benchmarks.servers import alone, folder, mesh

TARGET = 1.05
RETURNS = 400

_CLIENTS = 4
_RESUMES = 50
_SETTLE_S = 0.05
_KEYS_S = 60.0


def run(effort: Effort) -> list[Figure]:
    """CPU of a resumed handshake in both versions, then the returns after 0 ms."""
    with folder() as place:
        program = xresume.build(place)
        return [*_costs(program, effort), *_returns(program, effort)]


def _costs(program: Path, effort: Effort) -> list[Figure]:
    count = effort.block * (4 if effort is FULL else 2)
    figures: list[Figure] = []
    with alone("tickets") as ours, alone("own_tickets") as theirs:
        _wait_for_keys([ours])
        for version in VERSIONS:
            sides = _rounds(program, ours, version, count), _rounds(program, theirs, version, count)
            figures += compare("tickets_server", f"TLS {version} resumed by ticket", effort, *sides, TARGET)
    return figures


def _rounds(program: Path, server: Server, version: str, count: int) -> Measure:
    """Rounds of `count` resumed handshakes: one full one for every fifty that resume, the same on both sides."""
    cycles = max(count // (_RESUMES * _CLIENTS), 1) * _CLIENTS
    kind = ("-m", "cross", "--same", "-r", _RESUMES, "-n", cycles)
    measure = _counted(server, lambda: _resume(program, kind, [server], version))
    measure()
    return measure


def _counted(server: Server, handshakes: Callable[[], float]) -> Measure:
    def measure() -> float:
        before = server.cpu_ns()
        done = handshakes()
        time.sleep(_SETTLE_S)  # what the last ones still cause
        return (server.cpu_ns() - before) / done / 1000

    return measure


def _resume(program: Path, kind: tuple[str | int, ...], servers: list[Server], version: str) -> float:
    found = _ask(program, kind, servers, version)
    if found["resumed"] != found["offered"] or not found["resumed"]:
        raise RuntimeError(f"{found['resumed']} of {found['offered']} resumed")
    return float(found["handshakes"])


def _returns(program: Path, effort: Effort) -> list[Figure]:
    """Clients that have a ticket of one server and offer it to the other one at once: all are to resume."""
    count = _CLIENTS if effort is SMOKE else RETURNS
    figures = []
    with mesh(("tickets", "tickets")) as servers:
        _wait_for_keys(servers)
        for version in VERSIONS:
            found = _ask(program, ("-m", "delay", "--delays", 0, "-n", count), servers, version)
            (at_once,) = found["delays"]
            share, detail = at_once["resumed"] / at_once["tried"], {"resumed": at_once["resumed"], "of": count}
            name = f"TLS {version}, back after 0 ms, resumed"
            figures.append(Figure("tickets_server", name, share, "", 1.0, at_least=True, detail=detail))
    return figures


def _ask(program: Path, kind: tuple[str | int, ...], servers: list[Server], version: str) -> dict[str, object]:
    addresses = [f"{host}:{port}" for host, port in (server.plan.tls for server in servers)]
    found = xresume.run(program, *kind, "-c", _CLIENTS, "-V", version, "--sni", NAME, *addresses)
    if found["errors"]:
        raise RuntimeError(f"{found['errors']} handshakes failed: {found['last_error']}")
    return found


def _wait_for_keys(servers: list[Server]) -> None:
    """Until each encrypts, and with what the other one has too."""
    until = time.monotonic() + _KEYS_S
    while len({server.ask("ticket_key") for server in servers}) != 1 or servers[0].ask("ticket_key") == "none":
        if time.monotonic() > until:
            raise TimeoutError("the servers have no ticket key in common")
        time.sleep(0.05)
