"""Percentiles of the lag."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.state.lag import HALVE_AT, LagHistogram


def test_without_a_batch_there_is_no_percentile() -> None:
    assert LagHistogram().percentile_ms(50) is None


@given(st.lists(st.floats(0.00006, 1000.0), min_size=1, max_size=200), st.integers(1, 99))
def test_a_percentile_is_right_to_a_fifth(lags: list[float], percent: int) -> None:
    histogram = LagHistogram()
    for lag in lags:
        histogram.add(lag)
    exact = sorted(lags)[max(-(-len(lags) * percent // 100) - 1, 0)] * 1000
    found = histogram.percentile_ms(percent)
    assert found is not None
    assert exact / 1.01 <= found <= exact * 1.21


@pytest.mark.parametrize("lag_s", [-1.0, 0.0, 1e-9, 1e9])
def test_the_impossible_is_counted_at_the_ends(lag_s: float) -> None:
    histogram = LagHistogram()
    histogram.add(lag_s)
    assert histogram.percentile_ms(50) is not None


def test_percentiles_follow_what_is_recent() -> None:
    histogram = LagHistogram()
    for _ in range(HALVE_AT):
        histogram.add(1.0)
    for _ in range(HALVE_AT):
        histogram.add(0.001)
    found = histogram.percentile_ms(50)
    assert found is not None
    assert found < 2
    assert histogram.count == 2 * HALVE_AT
