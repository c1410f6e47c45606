"""What a session costs the servers that share it, and after how many returns that has paid.

One VIP on 1, 2, 4 or 8 servers, clients in C on the first of them only: what the first takes for a handshake, more than
alone, is the maker's part; what each other takes is a receiver's. What servers take while nothing happens is taken off.
`BENCH_BEFORE` names another checkout, such as a worktree of 0.1.0, which is measured in the same rounds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks import xresume
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.fronts import BEFORE
from benchmarks.material import NAME
from benchmarks.processes import Server
from benchmarks.report import Figure
from benchmarks.servers import folder, mesh
from benchmarks.statistic import median

CLIENTS = 4
MAKER_US, RECEIVER_US = 40.0, 15.0
"""At full speed: at 700 sessions/s and more."""

SLOW_PER_S, SLOW_US = 100, 60.0
_WARM_S = 0.2
_LEFT_S = 0.3
"""Until what is collected has left, and come in."""

_RESUMES = 400
"""For each session, where resumed handshakes are measured."""


@dataclass(frozen=True, slots=True)
class Load:
    """What clients do: a key, a version, full handshakes or resumed ones, so many a second (0: as fast as they can)."""

    key: str
    tls: str
    resumed: bool
    per_s: int = 0

    @property
    def name(self) -> str:
        pace = f" at {self.per_s}/s" if self.per_s else ""
        return f"{self.key.upper()} TLS {self.tls} {'resumed' if self.resumed else 'full'}{pace}"

    def arguments(self, address: str, seconds: float) -> tuple[str | float, ...]:
        kind = ("-m", "cross", "--same", "-r", _RESUMES) if self.resumed else ("-m", "full")
        pace = ("--rate", self.per_s) if self.per_s else ()
        return (*kind, *pace, "-n", 100_000_000, "-t", seconds, "-c", CLIENTS, "-V", self.tls, "--sni", NAME, address)


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of CPU a handshake: of the server that clients meet, and of each other one."""

    maker: float
    receivers: tuple[float, ...]
    per_s: float
    idle_us: float

    @property
    def receiver(self) -> float:
        return sum(self.receivers) / len(self.receivers) if self.receivers else 0.0


def loads(effort: Effort) -> list[Load]:
    """What is measured."""
    if effort is SMOKE:
        return [Load("rsa", "1.3", resumed=False)]
    keys = ("rsa", "ecdsa")
    fast = [Load(key, tls, resumed) for key, tls, resumed in product(keys, ("1.2", "1.3"), (False, True))]
    return [*fast, Load("rsa", "1.2", False, SLOW_PER_S), Load("rsa", "1.3", True, SLOW_PER_S)]


def run(effort: Effort) -> list[Figure]:
    """The table of microseconds by number of servers, and the returns after which sharing has paid."""
    counts = (1, 2) if effort is SMOKE else (1, 2, 4, 8)
    rounds, seconds, rest_s = (5, 3.0, 1.0) if effort is FULL else (1, 0.2, 0.1) if effort is SMOKE else (1, 0.8, 0.5)
    before = os.environ.get(BEFORE)
    checkouts = {"": None} | ({"before, ": Path(before)} if before and effort is not SMOKE else {})
    found: dict[tuple[str, Load, int], list[Cost]] = {}
    asked = loads(effort)
    with folder() as place:
        program = xresume.build(place)
        for _, (label, checkout), key, count in product(
            range(rounds), checkouts.items(), dict.fromkeys(load.key for load in asked), counts
        ):
            with mesh(("mesh",) * count, key, checkout) as servers:
                own = [load for load in asked if load.key == key]
                _warm(servers, program, own[0])
                idle = _idle(servers, rest_s)
                for load in own:
                    found.setdefault((label, load, count), []).append(_measure(servers, program, load, seconds, idle))
    figures: list[Figure] = []
    for label in checkouts:
        print(_table(label, {(load, count): each for (name, load, count), each in found.items() if name == label}))
        costs = {(load, count): each for (name, load, count), each in found.items() if name == label}
        figures += _figures(label, costs, counts)
        figures += _returns(label, costs, counts)
    return figures


def _table(label: str, costs: dict[tuple[Load, int], list[Cost]]) -> str:
    """The table for docs/performance.md: microseconds of CPU a handshake, maker and each receiver, by servers."""
    counts = sorted({count for _, count in costs})
    head = ["", *(f"{count}: maker" if count == 1 else f"{count}: maker, each receiver" for count in counts)]
    lines = [head, ["---"] * len(head)]
    for load in dict.fromkeys(load for load, _ in costs):
        cells = []
        for count in counts:
            rounds = costs[load, count]
            maker, receiver = median([each.maker for each in rounds]), median([each.receiver for each in rounds])
            cells.append(f"{maker:.0f}" if count == 1 else f"{maker:.0f}, {receiver:.0f}")
        lines.append([label + load.name, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _warm(servers: list[Server], program: Path, load: Load) -> None:
    """Caches are warm then, and all have met."""
    xresume.run(program, *load.arguments("{}:{}".format(*servers[0].plan.tls), _WARM_S))


def _idle(servers: list[Server], rest_s: float) -> list[float]:
    """Nanoseconds of CPU a second that each server's timers take alone, which are taken off."""
    begun, begun_at = [server.cpu_ns() for server in servers], time.monotonic()
    time.sleep(rest_s)
    idle_s = time.monotonic() - begun_at
    return [(server.cpu_ns() - before) / idle_s for server, before in zip(servers, begun, strict=True)]


def _measure(servers: list[Server], program: Path, load: Load, seconds: float, idle: list[float]) -> Cost:
    address = "{}:{}".format(*servers[0].plan.tls)
    _warm(servers, program, load)
    begun, begun_at = [server.cpu_ns() for server in servers], time.monotonic()
    result = xresume.run(program, *load.arguments(address, seconds))
    time.sleep(_LEFT_S)
    took_s = time.monotonic() - begun_at
    done = float(result["handshakes"])
    if result["errors"] or not done:
        raise RuntimeError(f"{load.name}: {result['errors']} of {done:.0f} handshakes failed: {result['last_error']}")
    spent = [
        (server.cpu_ns() - before - rate * took_s) / 1000 / done
        for server, before, rate in zip(servers, begun, idle, strict=True)
    ]
    return Cost(spent[0], tuple(spent[1:]), done / float(result["wall_s"]), sum(idle) / len(idle) / 1000)


def _figures(label: str, costs: dict[tuple[Load, int], list[Cost]], counts: tuple[int, ...]) -> Iterator[Figure]:
    for (load, count), rounds in costs.items():
        alone = median([each.maker for each in costs[load, 1]])
        maker, receiver = median([each.maker for each in rounds]), median([each.receiver for each in rounds])
        detail: dict[str, object] = {
            "maker_us": [round(each.maker, 1) for each in rounds],
            "receivers_us": [[round(us, 1) for us in each.receivers] for each in rounds],
            "handshakes_per_s": [round(each.per_s) for each in rounds],
            "idle_us_per_s": [round(each.idle_us) for each in rounds],
        }
        target = None if label or count == counts[0] else SLOW_US if load.per_s else MAKER_US
        yield Figure("sharing", f"{label}{load.name}, maker of {count}", maker, "us", detail=detail)
        if count > 1:
            yield Figure("sharing", f"{label}{load.name}, maker of {count}, more", maker - alone, "us", target)
            wanted = None if label else SLOW_US if load.per_s else RECEIVER_US
            yield Figure("sharing", f"{label}{load.name}, receiver of {count}", receiver, "us", wanted)


def _returns(label: str, costs: dict[tuple[Load, int], list[Cost]], counts: tuple[int, ...]) -> Iterator[Figure]:
    """What sharing a client's session costs all servers, by what one return saves them: a resumed handshake, with what
    it makes and shares, in place of a full one that shares nothing."""
    for load in (load for load, count in costs if count == 1 and not load.resumed and not load.per_s):
        back = Load(load.key, load.tls, resumed=True)
        for count in counts[1:]:
            if (back, count) not in costs:
                continue
            alone = median([each.maker for each in costs[load, 1]])
            made = median([each.maker + each.receiver * (count - 1) for each in costs[load, count]])
            returned = median([each.maker + each.receiver * (count - 1) for each in costs[back, count]])
            saved = alone - returned
            returns = (made - alone) / saved if saved > 0 else float("inf")
            detail: dict[str, object] = {"alone_us": alone, "shared_us": made, "return_us": returned}
            target = None if label else 1.0
            name = f"{label}{load.key.upper()} TLS {load.tls}, returns until {count} have gained"
            yield Figure("sharing", name, returns, "", target, detail=detail)
