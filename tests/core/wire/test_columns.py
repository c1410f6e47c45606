"""Columns there and back, and every way in which they can lie."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.cache.entry import Entries
from meshcache.core.wire.columns import ColumnError, read_columns, write_columns
from meshcache.core.wire.messages import BATCH_SESSIONS_MAX

ids = st.binary(min_size=1, max_size=32)
seconds = st.integers(0, 2**32 - 1)
rows = st.lists(
    st.tuples(ids, st.binary(min_size=1, max_size=300), seconds, seconds, st.integers(0, 1)),
    max_size=BATCH_SESSIONS_MAX,
)


def entries(first: int, found: list[tuple[bytes, bytes, int, int, int]], step: int = 1) -> Entries:
    seqs = [first + at * step for at in range(len(found))]
    columns: list[list[Any]] = [list(column) for column in zip(*found, strict=True)] or [[], [], [], [], []]
    return Entries(seqs, *columns)


def plain(found: Entries) -> list[list[Any]]:
    return [list(column) for column in found]


def body(count: int = 3) -> dict[str, Any]:
    found = [(bytes([at + 1]) * 32, b"der" * (at + 1), 3600, 0, 0) for at in range(count)]
    return write_columns(1, count, entries(1, found))


@pytest.mark.slow
@given(rows, st.integers(1, 2**53 - 10_000), st.integers(1, 100))
def test_what_is_written_is_read(found: list[tuple[bytes, bytes, int, int, int]], first: int, step: int) -> None:
    written = entries(first, found, step)
    last = written.seqs[-1] if found else first
    assert plain(read_columns(first, last, write_columns(first, last, written))) == plain(written)


def test_offsets_beyond_32_bits_survive() -> None:
    written = entries(1, [(b"i" * 32, b"d", 1, 1, 0), (b"j" * 32, b"d", 1, 1, 0)], step=2**40)
    assert list(read_columns(1, 2**40 + 1, write_columns(1, 2**40 + 1, written)).seqs) == [1, 2**40 + 1]


def test_columns_of_equal_values_take_no_room() -> None:
    fields = body()
    assert set(fields) == {"n", "k", "z", "s", "x"}
    assert fields["x"] == 3600


def test_an_empty_batch_only_covers_a_range() -> None:
    assert read_columns(5, 9, {"n": 0}).ids == ()


@pytest.mark.parametrize(
    "lie",
    [
        {"n": -1},
        {"n": True},
        {"n": 65},
        {"n": 2},
        {"n": 4},
        {"n": None},
        {"k": b"x" * 95},
        {"k": b"x" * 97},
        {"k": "x" * 96},
        {"w": b"\x20\x20\x00"},
        {"w": b"\x20\x20\x21"},
        {"w": b"\x20\x20"},
        {"z": b"\0\3\0\6\0\0"},
        {"z": b"\0\3\0\6\x10\1"},
        {"z": b"\0\3\0\6\0\x0a"},
        {"z": b"\0\3\0\6"},
        {"s": b"d" * 70_000},
        {"s": None},
        {"x": -1},
        {"x": 2**32},
        {"x": b"\0" * 11},
        {"x": True},
        {"b": b"\0"},
        {"c": b"\0\0\2"},
        {"c": b"\0\0"},
        {"o": b"\0" * 12},
        {"o": b"\0\0\0\1\0\0\0\1\0\0\0\2"},
        {"o": b"\0\0\0\0\0\0\0\1\0\0\0\3"},
        {"o": b"\0\0\0\2\0\0\0\1\0\0\0\0"},
        {"o": b"\0" * 8},
    ],
)
def test_columns_that_do_not_add_up_are_refused(lie: dict[str, Any]) -> None:
    with pytest.raises(ColumnError):
        read_columns(1, 3, body() | lie)


@pytest.mark.parametrize("last", [2, 4])
def test_without_offsets_the_count_has_to_fill_the_range(last: int) -> None:
    with pytest.raises(ColumnError):
        read_columns(1, last, body())


@given(st.dictionaries(st.sampled_from("nowkzsxbc"), st.one_of(st.none(), st.binary(max_size=64), st.integers(-2, 70))))
def test_no_body_raises_anything_else(fields: dict[str, Any]) -> None:
    with contextlib.suppress(ColumnError):
        read_columns(1, 3, fields)


def read_or_error(first: int, last: int, fields: dict[str, Any]) -> list[list[Any]] | str:
    try:
        return plain(read_columns(first, last, fields))
    except ColumnError as error:
        return type(error).__name__


ODD: list[Any] = [None, 0, 1, -1, 2**32, True, "x", b"", b"\0\3", b"\0\4", b"i" * 31, b"i" * 33, b"d" * 4097, [], 1.0]


@given(st.dictionaries(st.sampled_from("kzsxbcw"), st.sampled_from(ODD)), st.sampled_from([1, 2, 2**40]))
def test_the_only_entry_of_a_batch_is_judged_as_those_of_a_larger_one(odd: dict[str, Any], last: int) -> None:
    """With its offset told, though it is 0, it is read as a column."""
    fields = body(1) | odd
    assert read_or_error(1, 1, fields) == read_or_error(1, 1, fields | {"o": bytes(4)})
    if last != 1:
        assert read_or_error(1, last, fields) == "ColumnError"
