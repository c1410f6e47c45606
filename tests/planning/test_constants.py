"""The figures of a plan, and what follows from them alone."""

from __future__ import annotations

import pytest

from meshcache.planning.constants import (
    ALONE_BYTES,
    BATCHED_BYTES,
    SEGMENT_BYTES,
    SOURCES,
    TCP_BYTES,
    wire_bytes,
)


def test_a_session_alone_and_one_of_a_full_batch_cost_what_was_measured() -> None:
    assert wire_bytes(1) == pytest.approx(ALONE_BYTES.value + TCP_BYTES.value)
    segments = -(-64 * BATCHED_BYTES.value // SEGMENT_BYTES.value)
    assert wire_bytes(64) == pytest.approx(BATCHED_BYTES.value + segments * TCP_BYTES.value / 64)


def test_larger_batches_cost_less_and_the_largest_is_the_end_of_it() -> None:
    costs = [wire_bytes(batch) for batch in (0, 1, 2, 8, 64, 1000)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == costs[1]
    assert costs[-1] == costs[-2]


def test_every_constant_names_its_source() -> None:
    assert len(SOURCES) >= 10
    assert all(constant.source and constant.unit and constant.value > 0 for constant in SOURCES.values())
