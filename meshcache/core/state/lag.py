"""How long sessions took to get here, as a histogram of fixed size from which percentiles are read."""

from __future__ import annotations

from itertools import accumulate
from math import log

_BUCKETS = 96
_LOWEST_S = 0.00005
_GROWTH = 1.2
_LOG_GROWTH = log(_GROWTH)

_SHOWN = range(0, 77, 4)
"""The buckets whose borders `buckets_ms` gives: each about twice the one before, from 50 microseconds to a minute."""

HALVE_AT = 20_000
"""Batches after which all counts are halved: the percentiles speak of the last minutes, not of last week."""


class LagHistogram:
    """Lag from 50 microseconds to half an hour in buckets that grow by a fifth: percentiles are right to 20 %."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._ever = [0] * _BUCKETS
        self._total = 0
        self.count = 0
        self.sum_s = 0.0

    def add(self, lag_s: float) -> None:
        """Count one batch."""
        at = int(log(lag_s / _LOWEST_S) / _LOG_GROWTH) + 1 if lag_s > _LOWEST_S else 0
        at = min(at, _BUCKETS - 1)
        self._counts[at] += 1
        self._ever[at] += 1
        self._total += 1
        self.count += 1
        self.sum_s += lag_s
        if self._total >= HALVE_AT:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)

    def buckets_ms(self) -> list[tuple[float, int]]:
        """Return the borders in milliseconds, each with the batches since the start that did not exceed it."""
        upto = list(accumulate(self._ever))
        return [(_border_ms(at), upto[at]) for at in _SHOWN]

    def percentile_ms(self, percent: float) -> float | None:
        """Return the lag in milliseconds that `percent` of the recent batches did not exceed; None before the first."""
        if not self._total:
            return None
        left = percent / 100 * self._total
        for at, count in enumerate(self._counts):
            left -= count
            if left <= 0:
                return _border_ms(at)
        return _border_ms(_BUCKETS - 1)


def _border_ms(at: int) -> float:
    return round(_LOWEST_S * _GROWTH**at * 1000, 3)
