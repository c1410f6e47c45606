"""What handshakes notice of 50,000 sessions a second that go to the disk beside them, and what of it is the machine's.

Three blocks take turns: handshakes alone, beside the writing, and beside another process that takes as much of the
machine as the writing did and shares nothing else with it. What only the second costs is the interpreter's lock, and
caches.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bare import Bare
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.material import VIP, plan_servers
from benchmarks.processes import ROOT
from benchmarks.report import Figure
from benchmarks.servers import folder
from meshcache import MeshNode

PER_S = 50_000
DER_BYTES = 134
"""Of a session without a client certificate, its id included."""

_TICK_S = 0.002
_AT_ONCE = 50
"""Ids that are noted at a time: a push has up to 64."""

_BUSY = """
import hashlib, sys, time
share, data = float(sys.argv[1]), bytes(20_000)
while True:
    began = time.perf_counter()
    while time.perf_counter() - began < 0.001 * share:
        hashlib.sha256(data).digest()
    time.sleep(0.001 * (1 - share))
"""


def run(effort: Effort) -> list[Figure]:
    """Resumed handshakes in memory, in a process that writes nothing else."""
    rounds = 30 if effort == FULL else 2 if effort == SMOKE else 10
    with folder() as place:
        (plan,) = plan_servers(place, 1)
        disk = [f'tier.disk.path="{place / "t"}"', 'tier.disk.max_bytes="512MiB"', "cache.max_sessions=150_000"]
        with MeshNode.from_file(plan.file, disk) as node:
            bare = Bare(place, "1.3", lambda context: node.attach(context, vip=VIP))
            assert node.wait_warm(60), "nothing is loaded beside"
            return _measured(node, bare, rounds, effort.block)


def _measured(node: MeshNode, bare: Bare, rounds: int, block: int) -> list[Figure]:
    feed = _Feed(node)
    slower, controlled, rates, shares, each_us = [], [], list[float](), list[float](), list[float]()
    _block_s(bare, block)
    for _ in range(rounds):
        feed.prepare()
        alone_s = _block_s(bare, block)
        with feed.running() as wrote:
            beside_s = _block_s(bare, block)
        rates.append(wrote["written"] / wrote["spent_s"])
        shares.append(wrote["cpu_s"] / wrote["spent_s"])
        each_us.append(wrote["cpu_s_in_all"] / wrote["written_in_all"] * 1e6)
        with _busy(min(median(shares), 0.95)):
            control_s = _block_s(bare, block)
        alone_s = (alone_s + _block_s(bare, block)) / 2
        slower.append(beside_s / alone_s)
        controlled.append(control_s / alone_s)
    detail: dict[str, object] = {
        "rounds": rounds,
        "beside": slower,
        "beside a process": controlled,
        "written_per_s": rates,
        "cpu_of_the_writing": shares,
        "cpus": os.cpu_count(),
    }
    lock = [one / other for one, other in zip(slower, controlled, strict=True)]
    return [
        Figure("tiers", "handshakes beside writing, slower by", median(slower), "x", 1.05, detail=detail),
        Figure("tiers", "beside a process as busy, slower by", median(controlled), "x"),
        Figure("tiers", "beside writing against that process", median(lock), "x", 1.05),
        Figure("tiers", "written beside handshakes", median(rates), "/s", 0.9 * PER_S, at_least=True),
        Figure("tiers", "CPU of a session that is written", median(each_us), "us"),
    ]


class _Feed:
    """Sessions that are in memory and not noted yet; notes `PER_S` of them each second, as pushes would."""

    def __init__(self, node: MeshNode) -> None:
        self._node, self._pump = node, node.internals.pump
        cache = self._pump.core.duties.cache
        note, self._evicted = cache.on_file, cache.on_evict
        assert note is not None, "the disk wants everything"
        self._note = note
        self._ids: deque[bytes] = deque()

    def prepare(self) -> None:
        """Make as many as two seconds take, without a word to the tiers."""
        pump, cache = self._pump, self._pump.core.duties.cache
        missing = 2 * PER_S - len(self._ids)
        cache.call_when_filed(None)
        cache.call_when_evicted(None)
        for _ in range(max(missing, 0)):
            session_id = os.urandom(32)
            der = b"\x30" + session_id + os.urandom(DER_BYTES - 33)
            with pump.lock:
                pump.core.session_created(VIP, session_id, der, pump.clock())
            self._ids.append(session_id)
        cache.call_when_filed(self._note)
        cache.call_when_evicted(self._evicted)

    @contextmanager
    def running(self) -> Iterator[dict[str, float]]:
        """Write while it is entered, and until all is; says afterwards how much that was.

        It is entered when the first session is written: of a short block all could be over before.
        """
        ending = threading.Event()
        thread = threading.Thread(target=self._feed, args=(ending,), name="meshcache-tier-feed")
        found: dict[str, float] = {}
        at_first, cpu_at_first = self._written(), _cpu_s("meshcache-tier")
        thread.start()
        try:
            deadline = time.monotonic() + 30
            while self._written() == at_first:
                assert time.monotonic() < deadline, "nothing is written"
                time.sleep(0.001)
            began, written, cpu = time.monotonic(), self._written(), _cpu_s("meshcache-tier")
            yield found
            found["spent_s"] = time.monotonic() - began
            found["written"] = self._written() - written
            found["cpu_s"] = _cpu_s("meshcache-tier") - cpu
            found["written_in_all"] = self._written() - at_first
            found["cpu_s_in_all"] = _cpu_s("meshcache-tier") - cpu_at_first
        finally:
            ending.set()
            thread.join()
            while self._waiting():
                time.sleep(0.005)

    def _feed(self, ending: threading.Event) -> None:
        pump = self._pump
        stream = next(each for each in pump.core.duties.streams if each.vip == VIP)
        due, owed = time.monotonic(), 0.0
        while not ending.is_set():
            owed = min(owed + PER_S * _TICK_S, PER_S / 20)
            while owed >= _AT_ONCE and self._ids:
                some = [self._ids.popleft() for _ in range(min(_AT_ONCE, len(self._ids)))]  # memory evicts the oldest
                owed -= len(some)
                with pump.lock:
                    self._note(stream, some)
            due = max(due + _TICK_S, time.monotonic() - 0.1)
            time.sleep(max(due - time.monotonic(), 0))

    def _tier(self) -> dict[str, Any]:
        told: dict[str, Any] = self._node.stats()["tiers"][0]
        return told

    def _written(self) -> int:
        return int(self._tier()["counts"].get("written", 0))

    def _waiting(self) -> int:
        return self._pump.core.tiering.waiting + int(self._tier()["waiting"])


def _cpu_s(prefix: str) -> float:
    """CPU that the threads of this name have taken so far."""
    tasks = [thread.native_id for thread in threading.enumerate() if thread.name.startswith(prefix)]
    return sum(int(Path(f"/proc/self/task/{task}/schedstat").read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def _busy(share: float) -> Iterator[None]:
    """Another process takes this share of a core."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY, str(share)], cwd=ROOT)
    time.sleep(0.1)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _block_s(bare: Bare, count: int) -> float:
    began = time.perf_counter()
    bare.cpu_ns(count, resumed=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    made: Sequence[Figure] = run(FULL)
    for figure in made:
        print(figure.name, figure.measured, figure.detail)
