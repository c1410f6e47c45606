"""Notes when each session that a peer sent could first be looked up in this process. For `benchmarks.lag` only.

Wraps four methods of the core for the whole process: a test double would not have the core's lag. What C files while
the pump sleeps nobody in Python sees, so that here the pump is woken for it: what is measured is no less than the lag.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.filed_in_c import FiledInC
from meshcache.core.mesh import MeshCore
from meshcache.core.replication.intake_fast_path import IntakeFastPath
from meshcache.runtime.pump import pump

ARRIVALS_MAX = 200_000
"""Far more than any run of the benchmark makes; what comes after them is not noted."""


class Probe:
    """The arrivals, as (session id, nanoseconds of CLOCK_MONOTONIC)."""

    def __init__(self) -> None:
        self._arrived: list[tuple[bytes, int]] = []
        self._filed: list[bytes] = []
        pump.compiled_sleep = _no_compiled_sleep  # type: ignore[assignment]
        self._watch_cache()
        self._watch_receive()

    def write(self, path: str) -> int:
        """Write what arrived since the last time to a file, as JSON; says how many."""
        arrived, self._arrived = self._arrived, []
        Path(path).write_text(json.dumps([(session_id.hex(), at) for session_id, at in arrived]))
        return len(arrived)

    def count(self, _: str = "") -> int:
        """How many arrived since the last `write`."""
        return len(self._arrived)

    def _watch_cache(self) -> None:
        put_many = SessionCache.put_many

        def watched(cache: SessionCache, stream: Any, entries: Any, *rest: Any, **more: Any) -> Any:
            result = put_many(cache, stream, entries, *rest, **more)
            self._filed += entries.ids
            return result

        put_push = FiledInC.put_push

        def watched_push(filed: FiledInC, stream: Any, *rest: Any) -> Any:
            result = put_push(filed, stream, *rest)
            if result is not None:
                next_seq, last = rest[3], result[0]
                self._filed += [session_id for _, session_id in stream.entries.between(next_seq, last)]
            return result

        SessionCache.put_many = watched  # type: ignore[method-assign,assignment]
        FiledInC.put_push = watched_push  # type: ignore[method-assign,assignment]

    def _watch_receive(self) -> None:
        receive, take = MeshCore.receive, IntakeFastPath.take  # the second is what most pushes take, past the first

        def watched(core: MeshCore, connection: bytes, payload: bytes, now: float) -> None:
            receive(core, connection, payload, now)
            self._note()

        def watched_take(known: IntakeFastPath, connection: bytes, payload: bytes, now: float) -> bool:
            done = take(known, connection, payload, now)
            self._note()
            return done

        MeshCore.receive = watched  # type: ignore[method-assign,assignment]
        IntakeFastPath.take = watched_take  # type: ignore[method-assign,assignment]

    def _note(self) -> None:
        if self._filed and len(self._arrived) < ARRIVALS_MAX:
            at = time.monotonic_ns()
            self._arrived += [(session_id, at) for session_id in self._filed]
        self._filed.clear()


def _no_compiled_sleep(*_: Any) -> None:
    """All is received by the pump."""
