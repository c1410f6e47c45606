"""Notes when each session that a peer sent could first be looked up in this process. For `benchmarks.lag` only.

Wraps two methods of the core for the whole process: a test double would not have the core's lag.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from meshcache.core.cache.cache import SessionCache
from meshcache.core.mesh import MeshCore

ARRIVALS_MAX = 200_000
"""Far more than any run of the benchmark makes; what comes after them is not noted."""


class Probe:
    """The arrivals, as (session id, nanoseconds of CLOCK_MONOTONIC)."""

    def __init__(self) -> None:
        self._arrived: list[tuple[bytes, int]] = []
        self._filed: list[bytes] = []
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

        def watched(cache: SessionCache, stream: Any, entries: Any, now: float) -> Any:
            result = put_many(cache, stream, entries, now)
            self._filed += entries.ids
            return result

        SessionCache.put_many = watched  # type: ignore[method-assign,assignment]

    def _watch_receive(self) -> None:
        receive = MeshCore.receive

        def watched(core: MeshCore, connection: bytes, payload: bytes, now: float) -> None:
            receive(core, connection, payload, now)
            if self._filed and len(self._arrived) < ARRIVALS_MAX:
                at = time.monotonic_ns()
                self._arrived += [(session_id, at) for session_id in self._filed]
            self._filed.clear()

        MeshCore.receive = watched  # type: ignore[method-assign,assignment]
