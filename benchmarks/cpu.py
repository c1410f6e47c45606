"""CPU of a server process for one handshake: with the mesh against OpenSSL's own cache, and against the bare minimum.

Both sides of a ratio are measured in one run in alternating blocks, so that a machine that slows down slows both down.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.bare import Bare
from benchmarks.clients import Clients, Job
from benchmarks.effort import Effort
from benchmarks.processes import Server
from benchmarks.report import Figure
from benchmarks.servers import alone, mesh
from benchmarks.statistic import median

VERSIONS = ("1.2", "1.3")
MESH_TARGET = 1.05
BARE_TARGETS = {"1.2": 3.0, "1.3": 2.0}

PAIRS_MIN = 3
"""A median of fewer says nothing."""

_SETTLE_S = 0.03
"""After a block, for what its last handshakes still cause: a batch that is coalesced for 2 ms, an acknowledgement."""

Measure = Callable[[], float]
"""One block; CPU in microseconds a handshake."""


def mesh_against_own(effort: Effort) -> list[Figure]:
    """Full and resumed handshakes on one server that publishes to a peer, and on one with OpenSSL's own cache."""
    figures = []
    with mesh() as servers, alone("own") as own, Clients(effort.clients) as clients:
        for version in VERSIONS:
            for kind in ("full", "resumed"):
                with_mesh = _block(clients, servers[0], kind, version, effort.block)
                with_own = _block(clients, own, kind, version, effort.block)
                name = f"TLS {version} {kind}"
                figures += compare("cpu_mesh_vs_own", name, effort, with_mesh, with_own, _mesh_target(kind))
    return figures


def server_against_bare(effort: Effort) -> list[Figure]:
    """Resumed handshakes on the bundled server with the mesh, and bare in memory."""
    figures = []
    with ExitStack() as stack:
        servers = stack.enter_context(mesh())
        clients = stack.enter_context(Clients(effort.clients))
        for version in VERSIONS:
            bare = Bare(servers[0].plan.file.parent, version)
            on_server = _block(clients, servers[0], "resumed", version, effort.block)
            in_memory = bare_block(bare, effort.block)
            name = f"TLS {version} resumed"
            target = BARE_TARGETS[version]
            figures += compare("cpu_server_vs_bare", name, effort, on_server, in_memory, target)
    return figures


def _mesh_target(kind: str) -> float | None:
    return MESH_TARGET if kind == "resumed" else None


def _block(clients: Clients, server: Server, kind: str, version: str, count: int) -> Measure:
    job = Job(kind, version, server.plan.tls, count)

    def measure() -> float:
        before = server.cpu_ns()
        tally = clients.run(job)
        time.sleep(_SETTLE_S)
        if tally.resumed != (tally.done if kind == "resumed" else 0):
            raise RuntimeError(f"{tally.resumed} of {tally.done} resumed in a block of {kind} handshakes")
        return (server.cpu_ns() - before) / tally.done / 1000

    clients.run(Job("full", version, server.plan.tls, count=8 * clients.count))  # every client has a session
    clients.run(job)  # and everything is warm
    return measure


def bare_block(bare: Bare, count: int) -> Measure:
    """Blocks of resumed handshakes, the server's side of them in memory."""

    def measure() -> float:
        return bare.cpu_ns(count, resumed=True) / 1000

    measure()
    return measure


def compare(
    benchmark: str, name: str, effort: Effort, ours: Measure, theirs: Measure, target: float | None
) -> list[Figure]:
    """Alternating blocks, each pair in the other order than the one before; the median of the pairs' ratios."""
    measured: list[tuple[float, float]] = []
    started = time.monotonic()
    for number in range(effort.blocks):
        if number >= PAIRS_MIN and time.monotonic() - started > effort.part_s:
            break
        if number % 2:
            yardstick = theirs()
            measured.append((ours(), yardstick))
        else:
            measured.append((ours(), theirs()))
    ratios = [one / other for one, other in measured]
    detail: dict[str, object] = {"ratios": [round(ratio, 3) for ratio in sorted(ratios)]}
    return [
        Figure(benchmark, f"{name}, CPU", median([one for one, _ in measured]), "us"),
        Figure(benchmark, f"{name}, CPU of the yardstick", median([other for _, other in measured]), "us"),
        Figure(benchmark, f"{name}, ratio", median(ratios), "x", target, detail=detail),
    ]
