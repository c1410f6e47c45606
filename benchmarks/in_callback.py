"""The price of `await_in_callback_ms`: servers of Python's `ssl` whose handshakes wait where they are, 0, 1 and 2 ms.

Clients in C come back to the other server at once, as fast as they can, then after 0, 1 and 2 ms. Meshes of two servers
for each setting run all the time and take turns, so that what else the machine does meets all.
`benchmarks.embedded_server` measures the waits. In the end one server is frozen (SIGSTOP) while it serves, and its
clients go to the other: see `benchmarks.frozen`.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import frozen, xresume
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.material import NAME
from benchmarks.processes import Server
from benchmarks.report import Figure
from benchmarks.servers import folder, mesh
from benchmarks.statistic import median

HOLDS_MS = (0, 1, 2)
MODES = ("threads", "loop")

_CLIENTS = 4
_WAITS_MS = 1000


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round of returns saw: clients' times, and what the two servers' threads waited."""

    tried: int
    resumed: int
    per_s: float
    p50_ms: float
    p99_ms: float
    waits: int
    waited_ms: float
    at_a_time: int


def run(effort: Effort) -> list[Figure]:
    """Both kinds of server, in both versions."""
    rounds, count = (7, 400) if effort is FULL else (1, 8) if effort is SMOKE else (3, 200)
    figures: list[Figure] = []
    with folder() as place:
        program = xresume.build(place)
        for mode in MODES[:1] if effort is SMOKE else MODES:
            with ExitStack() as stack:
                meshes = {
                    hold_ms: stack.enter_context(
                        mesh(
                            (mode, mode),
                            vip=f"await_in_callback_ms = {hold_ms}\n",
                            program="benchmarks.embedded_server",
                        )
                    )
                    for hold_ms in (HOLDS_MS[::2] if effort is SMOKE else HOLDS_MS)
                }
                figures += _measure(program, mode, meshes, rounds, count)
                figures += _after_delays(program, mode, meshes, rounds, count)
                figures += frozen.measure(mode, meshes, rounds)
    return figures


def _measure(program: Path, mode: str, meshes: dict[int, list[Server]], rounds: int, count: int) -> Iterator[Figure]:
    found: dict[tuple[str, int], list[_Round]] = defaultdict(list)
    for number in range(-1, rounds):  # the first is for what is only done at first
        for version in ("1.2", "1.3"):
            for hold_ms, servers in list(meshes.items())[:: -1 if number % 2 else 1]:
                each = _round(program, servers, version, count)
                if number >= 0:
                    found[version, hold_ms].append(each)
    for (version, hold_ms), each in found.items():
        yield from _figures(f"{mode}, TLS {version}, {hold_ms} ms", each, found[version, 0])


def _round(program: Path, servers: list[Server], version: str, count: int) -> _Round:
    addresses = [f"{host}:{port}" for host, port in (server.plan.tls for server in servers)]
    kind = ("-m", "cross", "-r", 1, "-n", count, "-c", _CLIENTS, "--ticket-wait", _WAITS_MS)
    result = xresume.run(program, *kind, "-V", version, "--sni", NAME, *addresses)
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} handshakes failed: {result['last_error']}")
    waits: list[dict[str, Any]] = [json.loads(server.ask("waits")) for server in servers]
    return _Round(
        tried=round(result["offered"]),
        resumed=round(result["resumed"]),
        per_s=float(result["rate"]),
        p50_ms=_of_returns(result, "p50"),
        p99_ms=_of_returns(result, "p99"),
        waits=sum(each["waits"] for each in waits),
        waited_ms=sum(each["waited_ms"] for each in waits),
        at_a_time=max(each["most_at_a_time"] for each in waits),
    )


def _after_delays(
    program: Path, mode: str, meshes: dict[int, list[Server]], rounds: int, count: int
) -> Iterator[Figure]:
    """Let clients come back after so many milliseconds; 400 of 400 is what a server that can pause reaches."""
    found: dict[tuple[str, int, int], list[tuple[int, int]]] = defaultdict(list)
    errors: list[str] = []
    delays = ",".join(map(str, HOLDS_MS))
    for number in range(rounds):
        for version in ("1.2", "1.3"):
            for hold_ms, servers in list(meshes.items())[:: -1 if number % 2 else 1]:
                addresses = [f"{host}:{port}" for host, port in (server.plan.tls for server in servers)]
                kind = ("-m", "delay", "--delays", delays, "-n", count, "-c", _CLIENTS, "-V", version, "--sni", NAME)
                result = xresume.run(program, *kind, *addresses)
                errors += [result["last_error"]] * bool(result["errors"])
                for each in result["delays"]:
                    at = version, hold_ms, round(each["ms"])
                    found[at].append((round(each["resumed"]), round(each["tried"])))
    for (version, hold_ms, delay_ms), each in found.items():
        name = f"{mode}, TLS {version}, {hold_ms} ms, back after {delay_ms} ms, resumed"
        share = sum(resumed for resumed, _ in each) / sum(tried for _, tried in each)
        detail: dict[str, object] = {"rounds": each, "errors": errors, "load": os.getloadavg()[0]}
        yield Figure("in_callback", name, share, "", detail=detail)


def _of_returns(result: dict[str, Any], which: str) -> float:
    """A percentile of those that came back, resumed or not: the mean of both by their numbers."""
    kinds = [result[kind] for kind in ("resumed_ms", "missed_ms") if result[kind]]
    return sum(each["n"] * each[which] for each in kinds) / sum(each["n"] for each in kinds)


def _figures(name: str, rounds: list[_Round], without: list[_Round]) -> Iterator[Figure]:
    tried, resumed = sum(each.tried for each in rounds), sum(each.resumed for each in rounds)
    waits, waited_ms = sum(each.waits for each in rounds), sum(each.waited_ms for each in rounds)
    share, share_without = resumed / tried, sum(e.resumed for e in without) / sum(e.tried for e in without)
    detail: dict[str, object] = {
        "rounds": [[each.resumed, each.tried] for each in rounds],
        "waits": waits,
        "waited_ms": round(waited_ms, 1),
        "hits_saved_per_ms": None
        if rounds is without or not waited_ms
        else (share - share_without) * tried / waited_ms,
        "threads_at_a_time": max(each.at_a_time for each in rounds),
        "p50_ms": median([each.p50_ms for each in rounds]),
        "p99_ms": median([each.p99_ms for each in rounds]),
        "load": os.getloadavg()[0],
    }
    yield Figure("in_callback", f"{name}, back at once, resumed", share, "", detail=detail)
    ratio = median([one.per_s / other.per_s for one, other in zip(rounds, without, strict=True)])
    if rounds is not without:
        added = median([one.p50_ms - other.p50_ms for one, other in zip(rounds, without, strict=True)])
        yield Figure("in_callback", f"{name}, handshakes/s, to those of 0 ms", ratio, "x", detail=detail)
        yield Figure("in_callback", f"{name}, a return's median time, added", added, "ms", detail=detail)
