"""Ranges against a plain set of numbers, and its bound."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.values.ranges import RANGES_MAX, Ranges

pieces = st.lists(st.tuples(st.integers(1, 120), st.integers(0, 15)).map(lambda p: (p[0], p[0] + p[1])), max_size=60)


def numbers(ranges: Ranges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(pieces)
def test_holds_exactly_what_was_added_in_whatever_order(added: list[tuple[int, int]]) -> None:
    model = {number for first, last in added for number in range(first, last + 1)}
    assert numbers(Ranges(added)) == model
    assert numbers(Ranges(reversed(added))) == model


@given(pieces)
def test_ranges_are_sorted_apart_and_never_touch(added: list[tuple[int, int]]) -> None:
    kept = list(Ranges(added))
    assert all(first <= last for first, last in kept)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(kept))


@given(pieces, st.integers(0, 150))
def test_missing_is_what_a_set_lacks(added: list[tuple[int, int]], upto: int) -> None:
    ranges = Ranges(added)
    gaps = [number for first, last in ranges.missing(upto) for number in range(first, last + 1)]
    assert gaps == sorted(set(range(1, upto + 1)) - numbers(ranges))


@given(pieces, st.integers(-1, 150))
def test_contains_and_highest_agree_with_a_set(added: list[tuple[int, int]], number: int) -> None:
    ranges = Ranges(added)
    model = numbers(ranges)
    assert (number in ranges) == (number in model)
    assert ranges.highest == max(model, default=0)


@given(pieces)
def test_equal_sets_are_equal_ranges_however_they_came(added: list[tuple[int, int]]) -> None:
    assert Ranges(added) == Ranges([(n, n) for n in sorted(numbers(Ranges(added)))])


def test_a_stream_that_goes_on_stays_one_range() -> None:
    ranges = Ranges()
    for number in range(1, 10_000):
        ranges.add(number, number)
    assert list(ranges) == [(1, 9_999)]
    assert len(ranges) == 1


def test_what_fills_a_gap_joins_both_sides() -> None:
    ranges = Ranges([(1, 3), (5, 9)])
    ranges.add(4, 4)
    assert list(ranges) == [(1, 9)]


def test_memory_is_bounded_and_the_oldest_gap_is_given_up_first() -> None:
    scattered = [(10 * n, 10 * n) for n in range(1, RANGES_MAX + 2)]
    ranges = Ranges(scattered[:-1])
    assert len(ranges) == RANGES_MAX
    assert 15 not in ranges

    ranges.add(*scattered[-1])

    assert len(ranges) == RANGES_MAX
    assert 15 in ranges
    assert 25 not in ranges
    assert next(ranges.missing(30)) == (1, 9)


def test_a_claim_of_a_huge_range_costs_one_range() -> None:
    ranges = Ranges([(2, 2), (9, 2**63)])
    assert len(ranges) == 2
    assert ranges.highest == 2**63
    assert list(ranges.missing(2**64)) == [(1, 1), (3, 8), (2**63 + 1, 2**64)]


def test_repr_shows_the_ranges() -> None:
    assert repr(Ranges([(1, 2), (4, 4)])) == "Ranges([(1, 2), (4, 4)])"


@given(pieces)
def test_a_set_without_gaps_from_one_goes_on_after_its_highest(added: list[tuple[int, int]]) -> None:
    ranges = Ranges(added)
    whole = bool(added) and numbers(ranges) == set(range(1, ranges.highest + 1))
    assert ranges.goes_on == (ranges.highest + 1 if whole else 0)
