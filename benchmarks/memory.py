"""Bytes for one session: in memory, with 200,000 of them in a node's cache, and on the wire.

Memory is what the process grew by (resident set size), so dicts, streams, journal and the allocator's waste are in it.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

from benchmarks.cores import BATCH, CONNECTION, DER_BYTES, ID_BYTES, Maker, introduce, make_core
from benchmarks.effort import Effort
from benchmarks.fresh import in_fresh_process
from benchmarks.report import Figure
from meshcache.core.mesh import MeshCore

TARGET_BYTES = 450.0

_MAKER_SESSIONS = 4 * BATCH
"""What the sending side keeps itself, so that only the receiver grows."""

_CURVE_BYTES = 33 + 9
"""Around each message: CurveZMQ's MESSAGE (RFC 26: 8 name, 8 nonce, 16 MAC, 1 flags) and ZMTP's long frame header."""


def run(effort: Effort) -> list[Figure]:
    """Sessions made here, sessions that came from a peer, and what a session takes on the wire."""
    made = in_fresh_process(bytes_each_when_made, effort.sessions)
    received = in_fresh_process(bytes_each_when_received, effort.sessions)
    detail: dict[str, object] = {"sessions": effort.sessions, "der_bytes": DER_BYTES, "id_bytes": ID_BYTES}
    return [
        Figure("memory", "a session from a peer, in the cache", received, "B", TARGET_BYTES, detail=detail),
        Figure("memory", "a session made here, in the cache", made, "B", TARGET_BYTES, detail=detail),
        *_on_the_wire(),
    ]


def bytes_each_when_received(sessions: int) -> float:
    """Growth of this process for each session that it took from a peer in batches."""
    taker = make_core("taker")
    maker = Maker(sessions_max=_MAKER_SESSIONS)
    introduce(maker, taker)
    batches = sessions // BATCH
    _take(maker, taker, 2 * _MAKER_SESSIONS // BATCH)  # the maker's own cache is full from here on
    before = _resident_bytes()
    _take(maker, taker, batches)
    return (_resident_bytes() - before) / (batches * BATCH)


def bytes_each_when_made(sessions: int) -> float:
    """Growth of this process for each session of its own."""
    maker = Maker()
    maker.make(_MAKER_SESSIONS)
    before = _resident_bytes()
    maker.make(sessions)
    return (_resident_bytes() - before) / sessions


def _take(maker: Maker, taker: MeshCore, batches: int) -> None:
    for payload in maker.messages(batches):
        taker.receive(CONNECTION, payload, maker.now)


def _on_the_wire() -> list[Figure]:
    figures = []
    for batch in (1, BATCH):
        taker, maker = make_core("taker"), Maker()
        introduce(maker, taker)
        (payload,) = maker.messages(1, batch)
        detail: dict[str, object] = {"payload_bytes": len(payload), "curve_bytes": _CURVE_BYTES, "batch": batch}
        size = (len(payload) + _CURVE_BYTES) / batch
        figures.append(Figure("memory", f"a session on the wire, batch of {batch}", size, "B", detail=detail))
    return figures


def _resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
