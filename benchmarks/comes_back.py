"""How many clients resume when they come back to another server after 0, 1, 2 and 5 ms, all clients at full speed.

Clients in Python first, then clients in C, which are back sooner: at servers that may not raise their threads'
priorities, and at two of Apache's with memcached, in turns.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import apache, xresume
from benchmarks.clients import Clients, Job, Tally
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.material import NAME
from benchmarks.processes import Server, hastened
from benchmarks.report import Figure
from benchmarks.servers import folder, mesh

DELAYS_MS = (0, 1, 2, 5)
TARGETS = {0: 0.93, 2: 0.999}
"""By delay in milliseconds: Hitch reaches 0.86 at once, Apache with a synchronous store 0.98."""

IN_C_DELAYS_MS = (0, 1, 2)
IN_C_RETURNS = 400
IN_C_TARGETS = {0: 398 / 400, 1: 1.0, 2: 1.0}
"""Of ours; Apache's are there to be read beside them."""

_CLIENTS_IN_C = 4


def run(effort: Effort) -> list[Figure]:
    """Clients in Python, then in C."""
    return [*_in_python(effort), *_in_c(effort)]


def _in_python(effort: Effort) -> list[Figure]:
    """Half the sessions are made on each server and offered to the other one."""
    with mesh() as servers, Clients(effort.clients) as clients:
        _return(clients, servers, "1.2", 0, 4 * effort.clients, effort.part_s)  # warm
        return [
            _figure(version, delay_ms, _return(clients, servers, version, delay_ms, effort.returns, effort.part_s))
            for version in ("1.2", "1.3")
            for delay_ms in DELAYS_MS
        ]


def _return(clients: Clients, servers: list[Server], version: str, delay_ms: int, count: int, seconds: float) -> Tally:
    one, other = (server.plan.tls for server in servers)
    half = Job("returns", version, one, count // 2, back=other, delay_s=delay_ms / 1000, seconds_max=seconds / 2)
    there = clients.run(half)
    back = clients.run(replace(half, address=other, back=one))
    return Tally(there.done + back.done, there.resumed + back.resumed)


def _figure(version: str, delay_ms: int, tally: Tally) -> Figure:
    detail: dict[str, object] = {"resumed": tally.resumed, "of": tally.done}
    name = f"TLS {version}, back after {delay_ms} ms, resumed"
    share = tally.resumed / tally.done
    return Figure("comes_back", name, share, "", TARGETS.get(delay_ms), at_least=True, detail=detail)


def _in_c(effort: Effort) -> Iterator[Figure]:
    """Rounds of 400 returns for each delay, at each kind of server in turn."""
    rounds, count = (5, IN_C_RETURNS) if effort is FULL else (1, 4) if effort is SMOKE else (2, IN_C_RETURNS)
    found: dict[tuple[str, str, int], list[tuple[int, int]]] = defaultdict(list)
    slowest: dict[tuple[str, str], float] = defaultdict(float)
    with folder() as place, ExitStack() as stack:
        program = xresume.build(place)
        kinds = {"meshcache": _without_haste(stack)}
        if apache.installed():
            kinds["Apache, memcached"] = stack.enter_context(apache.servers())
        for number in range(rounds):
            for version in ("1.2", "1.3"):
                for kind, addresses in list(kinds.items())[:: -1 if number % 2 else 1]:
                    result = _come_back_in_c(program, version, addresses, count)
                    slowest[kind, version] = max(slowest[kind, version], xresume.worst(result, "max"))
                    for each in result["delays"]:
                        at = kind, version, round(each["ms"])
                        found[at].append((round(each["resumed"]), round(each["tried"])))
        load = os.getloadavg()[0]
    for (kind, version, delay_ms), each in found.items():
        share = sum(resumed for resumed, _ in each) / sum(tried for _, tried in each)
        name = f"TLS {version}, clients in C, back after {delay_ms} ms, resumed, {kind}"
        target = IN_C_TARGETS[delay_ms] if kind == "meshcache" else None
        detail: dict[str, object] = {"rounds": each, "slowest_ms": slowest[kind, version], "load": load}
        yield Figure("comes_back", name, share, "", target, at_least=True, detail=detail)


def _without_haste(stack: ExitStack) -> list[str]:
    servers = stack.enter_context(mesh(may_hasten=False))
    if any(hastened(server.pid) for server in servers):
        raise RuntimeError("the servers have raised priorities, which was to be without")
    return [f"{host}:{port}" for host, port in (server.plan.tls for server in servers)]


def _come_back_in_c(program: Path, version: str, addresses: list[str], count: int) -> dict[str, Any]:
    delays = ",".join(map(str, IN_C_DELAYS_MS))
    kind = ("-m", "delay", "--delays", delays, "-n", count, "-c", _CLIENTS_IN_C)
    result = xresume.run(program, *kind, "-V", version, "--sni", NAME, *addresses)
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} handshakes failed: {result['last_error']}")
    return result
