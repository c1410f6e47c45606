"""Python functions called for one resumed handshake, with the mesh and with OpenSSL's own cache.

CPU depends on what else the machine does; this number doesn't. A call with what it does costs 0.5 us on an idle core of
2025 and twice that on a busy one, so it says where to look when `benchmarks.cpu` says that something got slower.
"""

from __future__ import annotations

import json
from collections import Counter

from benchmarks.call_counter import module_of
from benchmarks.clients import Clients, Job
from benchmarks.effort import Effort
from benchmarks.processes import Server
from benchmarks.report import Figure
from benchmarks.servers import alone, mesh

_HANDSHAKES_MAX = 100
"""The number hardly varies, and counting is slow."""


def run(effort: Effort) -> list[Figure]:
    """Resumed handshakes on one server at a time."""
    figures = []
    count = min(effort.block, _HANDSHAKES_MAX)
    with mesh() as servers, alone("own") as own, Clients(effort.clients) as clients:
        for version in ("1.2", "1.3"):
            for name, server in (("mesh", servers[0]), ("own cache", own)):
                figures += _figures(f"TLS {version} resumed, {name}", clients, server, version, count)
    return figures


def _figures(name: str, clients: Clients, server: Server, version: str, count: int) -> list[Figure]:
    clients.run(Job("full", version, server.plan.tls, count=8 * clients.count))
    job = Job("resumed", version, server.plan.tls, count)
    clients.run(job)
    server.ask("count")
    clients.run(job)
    counted = json.loads(server.ask("counted"))
    by_module: Counter[str] = Counter()
    for filename, calls in counted["python"].items():
        by_module[module_of(filename)] += calls
    each = {module: round(calls / count, 1) for module, calls in by_module.most_common() if calls >= count / 10}
    detail: dict[str, object] = {"c_calls": round(counted["c"] / count, 1), "python_by_module": each}
    return [Figure("calls", f"{name}, Python calls", by_module.total() / count, "", detail=detail)]
