"""Medians, percentiles and shares of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values don't exceed (nearest rank); not a number when there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    return percentile(values, 0.5)
