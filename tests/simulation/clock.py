"""Time for a simulation: one true clock that jumps from event to event, and each node's own, which differs from it.

Knows nothing of nodes or messages; what is due at one moment happens in the order in which it was planned.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any


class Scheduler:
    """True time in seconds since the start, and all that is still to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when: float, action: Callable[..., None], *args: Any) -> None:
        """Do something at a time, or now if that has passed."""
        heapq.heappush(self._heap, (max(when, self.now), next(self._order), action, args))

    def after(self, seconds: float, action: Callable[..., None], *args: Any) -> None:
        """Do something so many seconds from now."""
        self.at(self.now + seconds, action, *args)

    def run(self, until: float) -> None:
        """Let everything happen that is due up to a time, which it is then."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until:
            self.now, _, action, args = pop(heap)
            self.steps += 1
            action(*args)
        self.now = max(self.now, until)


@dataclass(slots=True)
class NodeClock:
    """One machine's monotonic clock: it began anywhere and runs a little fast or slow. Never runs backwards."""

    began: float
    rate: float
    _last: float = float("-inf")

    def read(self, true: float) -> float:
        """What this clock shows at a true time."""
        self._last = max(self._last, self.began + true * self.rate)
        return self._last

    def true(self, shown: float) -> float:
        """The true time at which this clock shows that; rounded up, so that a deadline has come when it is woken."""
        return (shown - self.began) / self.rate + 1e-9
