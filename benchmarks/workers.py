"""What a handshake costs a server of two workers against one of one, and whether clients reach all workers.

Clients in C come as fast as they can, to one address. Blocks alternate, so that a machine that slows down slows both
down. Of two workers each is told the other's sessions, which is a part of the price of those that come back; full
handshakes under ``reach = "server"`` tell nobody anything: what is left is the price of accepting from one socket.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from benchmarks import fronts, xresume
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.processes import cpu_ns
from benchmarks.report import Figure
from benchmarks.servers import folder
from benchmarks.statistic import median
from meshcache.admin.client import AdminClient

CLIENTS = 4
PROCESSES = 3
"""Client processes of which all workers are to have connections."""

TARGET = 1.05
READY_S_MAX = 60.0


def run(effort: Effort) -> list[Figure]:
    """CPU of a handshake on two workers against one, shared and not, in each protocol version; and who was reached."""
    seconds, pairs = (6.0, 5) if effort is FULL else (0.5, 1) if effort is SMOKE else (2.0, 3)
    figures: list[Figure] = []
    with folder() as place:
        program = xresume.build(place)
        kinds = [("coming back, shared", "colo", 4), ("full, not shared", "server", 0)]
        for name, reach, returns in kinds[:1] if effort is SMOKE else kinds:
            with ExitStack() as stack:
                groups = [stack.enter_context(_Group(place / f"{reach}-{count}", count, reach)) for count in (1, 2)]
                for tls in ("1.3",) if effort is SMOKE else ("1.2", "1.3"):
                    figures += _ratio(f"TLS {tls}, {name}", program, groups, tls, seconds, pairs, returns)
                if reach == "colo":
                    figures.append(_reached(program, groups[1], seconds))
    return figures


def _ratio(
    name: str, program: Path, groups: list[_Group], tls: str, seconds: float, pairs: int, returns: int
) -> list[Figure]:
    measured = []
    for turn in range(pairs):
        order = groups if turn % 2 else groups[::-1]
        found = {group.count: group.cpu_us(program, tls, seconds, returns) for group in order}
        measured.append((found[1], found[2]))
    ratios = sorted(two / one for one, two in measured)
    detail: dict[str, object] = {"ratios": [round(ratio, 3) for ratio in ratios]}
    return [
        Figure("workers", f"{name}, CPU with one", median([one for one, _ in measured]), "us"),
        Figure("workers", f"{name}, CPU with two", median([two for _, two in measured]), "us"),
        Figure("workers", f"{name}, ratio", median(ratios), "x", TARGET, detail=detail),
    ]


def _reached(program: Path, group: _Group, seconds: float) -> Figure:
    """The part of the connections that the worker with the fewest has of its fair part."""
    before = group.handshakes()
    runs = [xresume.Run(program, *xresume.cross(group.port, seconds, 1, "1.3")) for _ in range(PROCESSES)]
    for each in runs:
        each.result(seconds + READY_S_MAX)
    time.sleep(1.0)  # what was counted at the doors is taken over
    after = group.handshakes()
    made = [after[name] - before[name] for name in after]
    detail: dict[str, object] = {"handshakes": made}
    return Figure(
        "workers", "least busy worker, of its fair part", min(made) * len(made) / sum(made), "x", detail=detail
    )


class _Group:
    """A server of so many workers."""

    def __init__(self, place: Path, count: int, reach: str) -> None:
        self.count, self._place, self._reach = count, place, reach
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._place.mkdir()
        more = f"[server]\nworkers = {self.count}\n"
        self._front = self._stack.enter_context(
            fronts.front("meshcache", self._place, None, more, sharing=f'reach = "{self._reach}"\n')
        )
        deadline = time.monotonic() + READY_S_MAX
        while not self._is_ready():
            if time.monotonic() > deadline:
                raise RuntimeError((self._place / "meshcache.log").read_text()[-2000:])
            time.sleep(0.1)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    @property
    def port(self) -> int:
        return self._front.port

    def handshakes(self) -> dict[str, int]:
        """Of each worker so far."""
        workers = self._stats()["node"].get("workers", [])
        return {each["name"]: sum(each["handshakes"].values()) for each in workers}

    def cpu_us(self, program: Path, tls: str, seconds: float, returns: int) -> float:
        """CPU of all its processes for a handshake, of which so many come back with the session of each full one."""
        before = self._cpu_ns()
        kind = ("-r", returns) if returns else ("-m", "full")
        found = xresume.run(program, *xresume.cross(self.port, seconds, CLIENTS, tls, *map(str, kind)))
        if found["errors"]:
            raise RuntimeError(f"{found['errors']} connections failed: {json.dumps(found)[:500]}")
        return (self._cpu_ns() - before) / int(found["handshakes"]) / 1000

    def _cpu_ns(self) -> int:
        pid = self._front.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return cpu_ns(pid) + sum(cpu_ns(int(child)) for child in children)

    def _is_ready(self) -> bool:
        log = (self._place / "meshcache.log").read_text(errors="replace")
        return ("workers=2 " if self.count > 1 else " ready: ") in log

    def _stats(self) -> dict[str, Any]:
        return AdminClient(self._place / "state-meshcache" / "admin.sock").stats()
