"""What lies behind memory: how many sessions fit on the disk, how fast they are found and written, and what handshakes
notice of that, of a process that is killed, and of a store that is frozen, killed and empty again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import fronts, tiers_beside, xresume
from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.fresh import in_fresh_process
from benchmarks.material import free_port, plan_servers
from benchmarks.processes import ROOT
from benchmarks.report import Figure
from benchmarks.servers import folder
from benchmarks.statistic import percentile
from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.core.replication.leaving_sessions import LeavingSession
from meshcache.core.values.session import Session, StreamKey
from meshcache.core.wire.tier_record import Border, Origin, write_origin, write_record
from meshcache.edges.keyring import Keyring
from meshcache.hooks import TIER_BATCH_MAX, TierEntry
from meshcache.tiers.disk import DiskTier
from meshcache.tiers.sealed_records import SealedRecords

LOOKUPS = 20_000
_BORDER = Border("shop", bytes(32))
_TERMS = Terms("edge-1", "ams1", "shop", "shop", bytes(32), REACH_COLO)
_ORIGIN = write_origin(Origin(_TERMS, 1_700_000_000_000, (1_700_000_000_000, 1)))


def run(effort: Effort) -> list[Figure]:
    """The disk, handshakes beside it, a start after SIGKILL, and a store that fails."""
    sessions = 1_000_000 if effort == FULL else 5_000 if effort == SMOKE else 200_000
    figures = in_fresh_process(_disk, sessions)
    figures += in_fresh_process(tiers_beside.run, effort)
    figures += _killed(100_000 if effort == FULL else 1_000 if effort == SMOKE else 20_000)
    if shutil.which("redis-server") is not None:
        figures += _store(effort)
    return figures


class Maker:
    """Makes sealed sessions as a node does, each of them new."""

    def __init__(self) -> None:
        self._records = SealedRecords.of(Keyring.new(), "bench")
        self._made = 0

    def entries(self, count: int) -> list[TierEntry]:
        return [self._records.entry(self._leaving()) for _ in range(count)]

    def read(self, key: bytes, value: bytes) -> None:
        self._records.read(key, value, _BORDER)

    def _leaving(self) -> LeavingSession:
        self._made += 1
        session_id = os.urandom(32)
        der = b"\x30" + session_id + os.urandom(tiers_beside.DER_BYTES - 33)
        session = Session(session_id, der, StreamKey("edge-1", 1, "shop"), self._made, 3600.0, 0.0)
        record = write_record(session, _ORIGIN, time.time(), 3600.0)
        return LeavingSession(_BORDER, session_id, record, 3600.0, evicted=False, stays=False)


def _disk(sessions: int) -> list[Figure]:
    """Fill one with so many sessions of the size that 1,000,000 have in 512 MiB; look some up; write as many again."""
    with folder() as place:
        bytes_max = max(512 * 2**20 * sessions // 1_000_000, 16 * 2**20)
        maker, tier = Maker(), DiskTier(place / "t", bytes_max, "bench")
        tier.open()
        kept, spent_s = _fill(tier, maker, sessions)
        held, file_bytes = tier.figures()["entries"], (place / "t" / "data.mdb").stat().st_size
        times = sorted(_look_up(tier, maker, key) for key in kept[-LOOKUPS:])
        _fill(tier, maker, sessions // 2)
        grown = (place / "t" / "data.mdb").stat().st_size
        figures = tier.figures()
        tier.close()
    detail: dict[str, object] = {"held": held, "bytes_max": bytes_max, "file_bytes": file_bytes, "after": dict(figures)}
    return [
        Figure("tiers", "disk: sessions held", float(held), "", float(sessions), at_least=True, detail=detail),
        Figure("tiers", "disk: lookup, p99", percentile(times, 0.99) * 1e6, "us", 50.0, detail=detail),
        Figure("tiers", "disk: inserts", sessions / spent_s, "/s", float(tiers_beside.PER_S), at_least=True),
        Figure("tiers", "disk: bytes a session", figures["bytes"] / figures["entries"], "B", detail=detail),
        Figure("tiers", "disk: file after half as many again", grown / bytes_max, "of its bound", 1.0, detail=detail),
    ]


def _fill(tier: DiskTier, maker: Maker, sessions: int) -> tuple[list[bytes], float]:
    """Write new ones; says under which keys the last lie, and how long writing took."""
    keys: list[bytes] = []
    spent_s = 0.0
    for start in range(0, sessions, TIER_BATCH_MAX):
        entries = maker.entries(min(TIER_BATCH_MAX, sessions - start))
        keys = [*keys[-LOOKUPS:], *(entry.key for entry in entries)]
        began = time.perf_counter()
        tier.put(entries)
        spent_s += time.perf_counter() - began
    return keys, spent_s


def _look_up(tier: DiskTier, maker: Maker, key: bytes) -> float:
    """How long it takes to find a session and to open its seal."""
    began = time.perf_counter()
    maker.read(key, tier.get((key,))[key])
    return time.perf_counter() - began


_NODE = """
import os, sys, time
began = time.monotonic()
from pathlib import Path
from benchmarks.bare import Bare
from benchmarks.material import VIP
from meshcache import MeshNode
file, wanted, fills = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "fill"
node = MeshNode.from_file(file, ['tier.disk.max_bytes="128MiB"', "cache.max_sessions=200000", "cache.max_bytes=256MiB"])
node.start()
Bare(Path(file).parent, "1.3", lambda context: node.attach(context, vip=VIP))
serving_s = time.monotonic() - began
pump = node.internals.pump
for made in range(wanted if fills else 0):
    while made % 500 == 0 and pump.core.tiering.waiting + node.stats()["tiers"][0]["waiting"] > 4000:
        time.sleep(0.005)  # or, on a busy machine, more would wait than may, and be left out
    session_id = os.urandom(32)
    with pump.lock:
        pump.core.session_created(VIP, session_id, b"\\x30" + session_id + bytes(100), pump.clock())
while fills and node.stats()["tiers"][0]["counts"].get("written", 0) < wanted:
    time.sleep(0.01)
while node.stats()["vips"][VIP]["entries"] < 0.99 * wanted:
    time.sleep(0.005)
print(serving_s, time.monotonic() - began, flush=True)
time.sleep(600)
"""


def _killed(sessions: int) -> list[Figure]:
    """A node that is alone is killed and started again."""
    with folder() as place:
        (plan,) = plan_servers(place, 1)
        for how in ("fill", "start"):
            command = [sys.executable, "-c", _NODE, str(plan.file), str(sessions), how]
            node = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
            assert node.stdout is not None
            try:
                serving_s, warm_s = map(float, node.stdout.readline().split())
            finally:
                node.send_signal(signal.SIGKILL)
                node.wait()
    detail: dict[str, object] = {"sessions": sessions, "includes": "Python's start and imports"}
    return [
        Figure("tiers", "killed: serving again after", serving_s, "s", detail=detail),
        Figure("tiers", "killed: 99 % of sessions back after", warm_s, "s", 3.0, detail=detail),
    ]


def _store(effort: Effort) -> list[Figure]:
    """Clients in C, whose sessions all lie in a store, while that is well, frozen, killed, and started again empty."""
    pause_s = 0.3 if effort == SMOKE else 3.0
    figures: list[Figure] = []
    with folder() as place:
        program = xresume.build(place)
        port = free_port(fronts.HOST)
        more = f'[cache]\nmax_sessions = 1\n[tier.valkey]\nurl = "valkey://{fronts.HOST}:{port}"\n'
        store = _store_process(port, place)
        try:
            with fronts.front("meshcache", place, None, more) as front:
                time.sleep(1.0)
                for name, faults in (("well", False), ("frozen, killed, empty", True)):
                    clients = xresume.Run(program, *xresume.cross(front.port, 5 * pause_s, 4, "1.3"))
                    time.sleep(pause_s)
                    store = _trouble(store, port, place, pause_s) if faults else store
                    found = clients.result(60 + 6 * pause_s)
                    detail = {key: found[key] for key in ("handshakes", "offered", "resumed", "errors", "last_error")}
                    slowest = xresume.worst(found, "max")
                    share = float(found["resumed"]) / max(float(found["offered"]), 1.0)
                    figures += [
                        Figure("tiers", f"store {name}: failed", float(found["errors"]), "", 0.0, detail=detail),
                        Figure("tiers", f"store {name}: slowest handshake", slowest, "ms", detail=detail),
                        Figure("tiers", f"store {name}: resumed of returns", share, "", detail=detail),
                    ]
        finally:
            store.kill()
            store.wait()
    return figures


def _store_process(port: int, place: Path) -> subprocess.Popen[bytes]:
    words = ("--bind", fronts.HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(place))
    return subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _trouble(store: subprocess.Popen[bytes], port: int, place: Path, pause_s: float) -> subprocess.Popen[bytes]:
    store.send_signal(signal.SIGSTOP)
    time.sleep(pause_s)
    store.send_signal(signal.SIGCONT)
    time.sleep(pause_s / 3)
    store.kill()
    store.wait()
    time.sleep(pause_s)
    return _store_process(port, place)
