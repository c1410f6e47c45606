"""How long after the client's handshake on A the session resumes on B: p50 and p99, at 200/s and at full speed.

From the moment the client has its session to the moment B's cache would answer for it; both read CLOCK_MONOTONIC, which
all processes of a machine share. Negative: B had the session before the client did. One that never came counts as
infinitely late.
"""

from __future__ import annotations

import json
import time
from hashlib import sha256
from math import inf, isfinite
from pathlib import Path

from benchmarks.clients import Clients, Job, Tally
from benchmarks.effort import Effort
from benchmarks.processes import Server
from benchmarks.report import Figure
from benchmarks.servers import mesh
from benchmarks.statistic import percentile

STEADY_PER_S = 200.0
TARGETS_MS = {0.5: 1.0, 0.99: 5.0}
"""By percentile, at the steady rate."""

_LAST_ARRIVAL_S = 3.0
"""What hasn't arrived this long after the last handshake is missing: time enough for a gap to be repaired."""

_FULL_SPEED_PER_S = 1000
"""About what four clients reach on two cores; only says how many handshakes fill the time."""


def run(effort: Effort) -> list[Figure]:
    """Full handshakes on A, while B notes when each session arrived."""
    figures = []
    with mesh(("mesh", "probe")) as (maker, probe), Clients(effort.clients) as clients:
        warm = clients.run(Job("full", "1.2", maker.plan.tls, 4 * effort.clients))
        _arrivals(probe, warm.done)
        for version in ("1.2", "1.3"):
            for rate in (STEADY_PER_S, 0.0):
                count = max(effort.clients, int(effort.lag_s / 2 * (rate or _FULL_SPEED_PER_S)))
                tally = clients.run(
                    Job("full", version, maker.plan.tls, count, per_second=rate, seconds_max=effort.lag_s)
                )
                figures += _figures(version, rate, tally, _arrivals(probe, tally.done))
    return figures


def _arrivals(probe: Server, expected: int) -> dict[bytes, int]:
    """When each session was there, by the name the client has for it as well as by its own."""
    deadline = time.monotonic() + _LAST_ARRIVAL_S
    while int(probe.ask("arrived")) < expected and time.monotonic() < deadline:
        time.sleep(0.02)
    path = Path(probe.plan.file.with_suffix(".arrivals"))
    probe.ask(f"arrivals {path}")
    arrived = {bytes.fromhex(name): at for name, at in json.loads(path.read_text())}
    # A TLS 1.3 client names a session by a hash of its ticket, and OpenSSL's stateful ticket is the session's id.
    return arrived | {sha256(session_id).digest(): at for session_id, at in arrived.items()}


def _figures(version: str, rate: float, tally: Tally, arrived: dict[bytes, int]) -> list[Figure]:
    lags_ms = [(arrived.get(name, inf) - ended) / 1e6 for name, ended in tally.ended]
    speed = f"{rate:.0f}/s" if rate else "full speed"
    detail: dict[str, object] = {"sessions": tally.done, "arrived": sum(map(isfinite, lags_ms))}
    return [
        Figure(
            "lag",
            f"TLS {version}, {speed}, p{share * 100:.0f}",
            percentile(lags_ms, share),
            "ms",
            target if rate else None,
            detail=detail,
        )
        for share, target in TARGETS_MS.items()
    ]
