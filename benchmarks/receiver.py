"""Sessions/s that one core of a receiver files: decoded and put in the cache, and over the real transport too.

In batches of 64, each session new, as a busy mesh sends them.
"""

from __future__ import annotations

import time

from benchmarks import wire
from benchmarks.cores import BATCH, CONNECTION, STEP_S, Maker, introduce, make_core
from benchmarks.effort import Effort
from benchmarks.fresh import in_fresh_process
from benchmarks.report import Figure

TARGET_PER_S = 250_000.0

_WIRE_PART = 3
"""Fewer batches over the wire: the sender keeps all of them encoded."""

_PART = 200
"""Batches encoded ahead of the clock at a time, so that memory stays small however many there are."""


def run(effort: Effort) -> list[Figure]:
    """Through `MeshCore.receive` alone, and through ZeroMQ with CURVE from another process."""
    in_memory = in_fresh_process(received_per_cpu_s, effort.batches)
    over_wire, cpu_us = in_fresh_process(wire.received_per_s, effort.batches // _WIRE_PART)
    detail: dict[str, object] = {"batch": BATCH, "batches": effort.batches}
    return [
        Figure("receiver", "filed by one core", in_memory, "/s", TARGET_PER_S, at_least=True, detail=detail),
        Figure("receiver", "filed, over ZeroMQ and CURVE", over_wire, "/s", detail={"cpu_us_each": cpu_us}),
    ]


def received_per_cpu_s(batches: int) -> float:
    """Sessions that `MeshCore.receive` files in a second of CPU."""
    taker, maker = make_core("taker"), Maker(sessions_max=BATCH)
    introduce(maker, taker)
    now, spent_ns = maker.now, 0
    for _ in range(max(1, batches // _PART)):
        payloads = list(maker.messages(min(batches, _PART)))
        started = time.thread_time_ns()
        for payload in payloads:
            now += STEP_S  # as the maker's clock went: after a silence a receiver takes messages for late ones
            taker.receive(CONNECTION, payload, now)
        spent_ns += time.thread_time_ns() - started
    filed = max(1, batches // _PART) * min(batches, _PART) * BATCH
    return filed / spent_ns * 1e9
