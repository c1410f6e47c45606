"""How many clients resume when they come back to another server after 0, 1, 2 and 5 ms, all clients at full speed."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.clients import Clients, Job, Tally
from benchmarks.effort import Effort
from benchmarks.processes import Server
from benchmarks.report import Figure
from benchmarks.servers import mesh

DELAYS_MS = (0, 1, 2, 5)
TARGETS = {0: 0.93, 2: 0.999}
"""By delay in milliseconds: Hitch reaches 0.86 at once, Apache with a synchronous store 0.98."""


def run(effort: Effort) -> list[Figure]:
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
