"""Counts how one hook fares, says so when it begins to go wrong, and tells when it should be left alone for a while."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from meshcache.core.values.events import HookFaulted
from meshcache.edges import native
from meshcache.hooks import Hook
from meshcache.runtime.tracing import shown

Kind = Literal["policy", "discovery", "observer", "tier"]
What = Literal["raised", "slow", "wrong_answer", "not_loaded", "bad_address", "missed", "begun_anew", "removals_lost"]

REST_S_MIN, REST_S_MAX = 1.0, 60.0
"""How long a hook that went wrong is left alone: twice as long each time until it goes right."""

QUIET_S = 60.0
"""Between two events about one kind of fault of one hook; all are counted."""

Tell = Callable[[HookFaulted], None]


class Health:
    """One hook's counters. Threads may share it."""

    def __init__(self, kind: Kind, name: str, tell: Tell, quiet_s: float = QUIET_S) -> None:
        self.kind = kind
        self._quiet_s = quiet_s
        self.name = name
        self._tell = tell
        self._lock = native.Lock()
        self._counts: Counter[str] = Counter()
        self._told_at: dict[str, float] = {}
        self._rest_s = REST_S_MIN
        self._rests_until = 0.0
        self._last = ""

    @property
    def resting(self) -> bool:
        """Whether the hook is left alone just now."""
        return time.monotonic() < self._rests_until

    @property
    def rests_until(self) -> float:
        return self._rests_until

    def count(self, what: str, times: int = 1) -> None:
        """Count what went as it should: a call, or a refusal."""
        with self._lock:
            self._counts[what] += times

    def went_right(self) -> None:
        """Be patient with it again."""
        self._rest_s = REST_S_MIN

    def fault(self, what: What, error: BaseException | str, *, rests: bool = False) -> float:
        """Count a fault and tell it; return how long the hook should rest, and let it (`rests`)."""
        now = time.monotonic()
        why = error if isinstance(error, str) else shown(error)
        with self._lock:
            self._last = f"{what}: {why}"
            pause_s = self._rest_s
            self._rest_s = min(2 * pause_s, REST_S_MAX)
            if rests:
                self._rests_until = now + pause_s
        self.follows(what, why)
        return pause_s

    def follows(self, what: What, why: str, times: int = 1) -> None:
        """Count, so many `times`, and tell what follows from faults: theirs stays the last one, and it asks no rest."""
        now = time.monotonic()
        with self._lock:
            self._counts[what] += times
            loud = now - self._told_at.get(what, -self._quiet_s) >= self._quiet_s
            if loud:
                self._told_at[what] = now
        if loud:
            self._tell(HookFaulted(now, self.name, self.kind, what, why))

    def to_plain(self) -> dict[str, Any]:
        """Return an object of ``hooks`` in ``stats``."""
        with self._lock:
            counts = dict(sorted(self._counts.items()))
        return {
            "name": self.name,
            "kind": self.kind,
            "resting": self.resting,
            "counts": counts,
            "last_fault": self._last,
        }


def name_of(hook: Hook, given: str = "") -> str:
    """Return what a hook is called in counters: its own word, else what the file calls it, else its class."""
    return hook.name or given or type(hook).__name__
