"""Heads and batches of entries in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.cache.entry import HEAD, HEAD_BYTES, Entries, cost, pack_head, pack_many

BATCH = Entries([4, 5, 9], [b"a", b"b", b"c"], [b"1", b"22", b"333"], [10, 2**32 - 1, 0], [0, 5, 2**32 - 1], [0, 1, 0])


@pytest.mark.parametrize(("seconds", "kept"), [(1.9, 1), (-1.1, -2), (1e18, 2**31 - 1), (-1e18, -(2**31))])
def test_times_are_rounded_down_and_clamped(seconds: float, kept: int) -> None:
    assert HEAD.unpack(pack_head(7, 3, seconds, seconds, 1)) == (7, 3, kept, kept, 1)


@given(st.integers(0, 2**31 - 1))
def test_a_batch_is_packed_like_its_entries_one_by_one(second: int) -> None:
    one_by_one = [
        pack_head(7, seq, second + remaining, second - elapsed, flag) + der
        for seq, _, der, remaining, elapsed, flag in BATCH.rows()
    ]
    assert pack_many(7, BATCH, second) == one_by_one


def test_chosen_entries_keep_their_columns_together() -> None:
    assert list(BATCH.chosen([2, 0]).rows()) == [
        (9, b"c", b"333", 0, 2**32 - 1, 0),
        (4, b"a", b"1", 10, 0, 0),
    ]
    assert BATCH.chosen([]).ids == []


def test_an_entry_costs_its_payload_and_the_overhead() -> None:
    assert cost(b"i" * 32, b"\0" * HEAD_BYTES + b"d" * 100) - cost(b"", b"\0" * HEAD_BYTES) == 132
