"""What a fetch adds to a handshake: clients come back to the server that made their session, and to one that has to ask
that one for it.

Both servers keep one copy of a session in the colo (``copies = 1``), so every return to the other one is a fetch.
Returns to both take turns in blocks, at the same rate. A handshake's time is the client's, from the connect on; in TLS
1.2, since the bundled server sends tickets of TLS 1.3 later, and these clients wait for them.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection

from benchmarks.effort import Effort
from benchmarks.handshake import client_context, handshake
from benchmarks.material import plan_servers
from benchmarks.processes import Server, wait_until_ready
from benchmarks.report import Figure
from benchmarks.servers import folder

PER_SECOND = 500
CLIENTS = 2
BLOCK = 50
ADDED_MS = 3.0
_ANSWER_S_MAX = 300.0

_Address = tuple[str, int]
_Times = tuple[list[float], list[float], int]


def run(effort: Effort) -> list[Figure]:
    """Makes sessions on one server and measures returns to both."""
    with folder() as place, ExitStack() as stack:
        plans = plan_servers(place, 2)
        for plan in plans:
            text = plan.file.read_text()
            plan.file.write_text(text.replace("[[vip]]\n", "[[vip]]\ncopies = 1\nawait_ms = 0\nfetch_ms = 100\n"))
        servers = [stack.enter_context(Server(plan, "mesh")) for plan in plans]
        wait_until_ready(servers, peers=1)
        maker, other = (plan.tls for plan in plans)
        return [_figure(*_measure(maker, other, effort.returns))]


def _figure(local: list[float], fetched: list[float], resumed: int) -> Figure:
    one, two = sorted(local), sorted(fetched)
    detail: dict[str, object] = {"resumed": resumed, "of": len(local) + len(fetched), "load": os.getloadavg()[0]}
    for name, times in (("local", one), ("fetched", two)):
        detail |= {f"{name}_p50_ms": _part(times, 0.5), f"{name}_p99_ms": _part(times, 0.99)}
    added_ms = _part(two, 0.99) - _part(one, 0.99)
    name = f"TLS 1.2, a fetch in the colo adds at 99 %, {PER_SECOND}/s"
    return Figure("fetching", name, added_ms, "ms", ADDED_MS, detail=detail)


def _part(times: list[float], part: float) -> float:
    return times[min(int(len(times) * part), len(times) - 1)] * 1000


def _measure(maker: _Address, other: _Address, count: int) -> _Times:
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    for _ in range(CLIENTS):
        ours, theirs = context.Pipe()
        context.Process(target=_client, args=(theirs, maker, other, count // CLIENTS), daemon=True).start()
        pipes.append(ours)
    local: list[float] = []
    fetched: list[float] = []
    resumed = 0
    for pipe in pipes:
        if not pipe.poll(_ANSWER_S_MAX):
            raise TimeoutError("a client process said nothing")
        here, there, both = pipe.recv()
        local += here
        fetched += there
        resumed += both
    return local, fetched, resumed


def _client(pipe: Connection, maker: _Address, other: _Address, count: int) -> None:
    context = client_context("1.2")
    times: tuple[list[float], list[float]] = ([], [])
    resumed = 0
    for _ in range(max(count // BLOCK, 1)):
        sessions = [handshake(context, maker, None).session for _ in range(2 * BLOCK)]
        for at, address in enumerate((maker, other)):
            started = time.monotonic()
            for number, session in enumerate(sessions[at::2]):
                time.sleep(max(0.0, started + number * CLIENTS / PER_SECOND - time.monotonic()))
                began_ns = time.monotonic_ns()
                done = handshake(context, address, session, wait_for_close=False)
                times[at].append((done.ended_ns - began_ns) / 1e9)
                resumed += done.resumed
    pipe.send((*times, resumed))
