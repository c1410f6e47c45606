"""What waiting for sessions costs handshakes that don't wait: servers with `await_ms = 5` against the same ones with 0.

Two meshes of two servers run all the time and take turns in short rounds, every second pair turned round, so that what
else the machine does meets both. Neither fetches, so that without waiting nothing at all is looked at beforehand.
Clients in C; a session is made on one server and resumes there, or on the other one once it has come.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

from OpenSSL import SSL

from benchmarks import xresume
from benchmarks.bare import STAGE, Bare
from benchmarks.cpu import VERSIONS
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.fresh import in_fresh_process
from benchmarks.material import NAME, VIP, plan_servers
from benchmarks.processes import Server
from benchmarks.report import Figure
from benchmarks.servers import folder, mesh
from benchmarks.statistic import median, percentile
from meshcache import MeshNode

TARGET = 1.02
ON, OFF = "await_ms = 5", "await_ms = 0"

_CLIENTS = 4
_RESUMES = 50
_GAP_MS = 50
"""Between a session's birth and its first return: long enough for it to have come, so that nobody waits."""

_KINDS = {
    "full": ("-m", "full", "-n", 25 * _CLIENTS),
    "resumed, its maker": ("-m", "cross", "--same", "-r", _RESUMES, "-n", _CLIENTS),
    "resumed, the other": ("-m", "cross", "-r", _RESUMES, "-n", _CLIENTS, "--gap", _GAP_MS),
}
_SETTLE_S = 0.05


@dataclass(slots=True)
class _Pairs:
    """Ratios, on to off, of one kind of handshake in one version."""

    cpu: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    us: dict[str, list[float]] = field(default_factory=lambda: {ON: [], OFF: []})
    ms: dict[str, list[float]] = field(default_factory=lambda: {ON: [], OFF: []})


def run(effort: Effort) -> list[Figure]:
    """CPU of both servers for a handshake, and the median of the clients' times; then CPU in memory."""
    kinds = list(product(VERSIONS, (False, True)))[-1 if effort is SMOKE else 0 :]
    return [*_in_servers(effort), *(in_fresh_process(_in_memory, effort, *kind) for kind in kinds)]


def _in_memory(effort: Effort, version: str, resumed: bool) -> Figure:
    """CPU of the handshake's thread at two nodes without peers, in alternating blocks."""
    pairs = 100 if effort == FULL else 1 if effort == SMOKE else 20  # in a process of its own: equal, not the same
    with folder() as place, ExitStack() as stack:
        sides: dict[str, MeshNode] = {}
        for plan, side in zip(plan_servers(place, 2), (ON, OFF), strict=True):
            changes = [f"vip.0.{each}" for each in (side.replace(" ", ""), "fetch=off")]
            sides[side] = stack.enter_context(MeshNode.from_file(plan.file, [*changes, "mesh.seeds=[]"]))
        bare = {side: Bare(place, version, partial(_attach, node)) for side, node in sides.items()}
        us: dict[str, list[float]] = {ON: [], OFF: []}
        for number in range(-1, pairs):
            for side in (ON, OFF) if number % 2 else (OFF, ON):
                spent = bare[side].cpu_ns(STAGE, resumed=resumed) / 1000
                if number >= 0:
                    us[side].append(spent)
    ratios = [one / other for one, other in zip(us[ON], us[OFF], strict=True)]
    name = f"TLS {version} {'resumed' if resumed else 'full'}, in memory, CPU with waiting allowed"
    return _figure(name, ratios, us, "us", {"load": os.getloadavg()[0]})


def _attach(node: MeshNode, context: SSL.Context) -> None:
    node.attach(context, vip=VIP, pauses=True)


def _in_servers(effort: Effort) -> list[Figure]:
    pairs = 40 if effort == FULL else 1 if effort == SMOKE else 8
    kinds = ("full",) if effort == SMOKE else tuple(_KINDS)
    found: dict[tuple[str, str], _Pairs] = defaultdict(_Pairs)
    with folder() as place, ExitStack() as stack:
        program = xresume.build(place)
        modes = ("mesh",) if effort is SMOKE else ("mesh", "mesh")
        sides = {each: stack.enter_context(mesh(modes, vip=f'{each}\nfetch = "off"\n')) for each in (ON, OFF)}
        loads = [os.getloadavg()[0]]
        for number in range(-1, pairs):  # the first is for what is only done at first
            for version in ("1.2", "1.3"):
                for kind in kinds:
                    taken = {}
                    for side in (ON, OFF) if number % 2 else (OFF, ON):
                        taken[side] = _round(program, sides[side], kind, version)
                    if number >= 0:
                        _note(found[kind, version], taken)
        loads.append(os.getloadavg()[0])
        waited = {side: [_waits(server) for server in sides[side]] for side in sides}
    return [
        figure for (kind, version), each in found.items() for figure in _figures(kind, version, each, loads, waited)
    ]


def _round(program: Path, servers: list[Server], kind: str, version: str) -> tuple[float, float]:
    """Microseconds of CPU of both servers for a handshake, and the median of its times in milliseconds."""
    addresses = [f"{host}:{port}" for host, port in (server.plan.tls for server in servers)]
    arguments = (*_KINDS[kind], "-c", _CLIENTS, "-V", version, "--sni", NAME)
    before = sum(server.cpu_ns() for server in servers)
    result = xresume.run(program, *arguments, *addresses)
    time.sleep(_SETTLE_S)
    if result["errors"] or not result["handshakes"]:
        raise RuntimeError(f"{result['errors']} handshakes failed: {result['last_error']}")
    if float(result["resumed"]) < 0.98 * float(result["offered"]):
        raise RuntimeError(f"only {result['resumed']} of {result['offered']} resumed")
    spent = sum(server.cpu_ns() for server in servers) - before
    times = result["full_ms" if kind == "full" else "resumed_ms"]
    return spent / 1000 / float(result["handshakes"]), float(times["p50"])


def _note(pairs: _Pairs, taken: dict[str, tuple[float, float]]) -> None:
    for side, (us, ms) in taken.items():
        pairs.us[side].append(us)
        pairs.ms[side].append(ms)
    pairs.cpu.append(taken[ON][0] / taken[OFF][0])
    pairs.p50.append(taken[ON][1] / taken[OFF][1])


def _waits(server: Server) -> dict[str, int]:
    """How handshakes on a server were judged that might have waited."""
    asked: dict[str, dict[str, int]] = next(iter(json.loads(server.ask("stats"))["vips"].values()))["lookups"]["asked"]
    return asked.get("await", {})


def _figures(kind: str, version: str, pairs: _Pairs, loads: list[float], waited: dict[str, object]) -> list[Figure]:
    name, more = f"TLS {version} {kind}", {"waited": waited, "load": loads}
    return [
        _figure(f"{name}, CPU with waiting allowed", pairs.cpu, pairs.us, "us", more),
        _figure(f"{name}, median time with waiting allowed", pairs.p50, pairs.ms, "ms", more),
    ]


def _figure(
    name: str, ratios: list[float], sides: dict[str, list[float]], unit: str, more: Mapping[str, object]
) -> Figure:
    detail: dict[str, object] = {
        "quartiles": [percentile(ratios, 0.25), percentile(ratios, 0.75)],
        "pairs": len(ratios),
        unit: {side: median(each) for side, each in sides.items()},
        **more,
    }
    return Figure("awaiting", name, median(ratios), "x", TARGET, detail=detail)
