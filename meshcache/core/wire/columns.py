"""Lays a batch out in columns and reads it back: ids together, lengths together, DERs together.

A column whose values are all alike is one number, or left out. Reading costs a slice and a few list items an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from struct import pack, unpack
from typing import Any

from meshcache.core.cache.entry import Entries
from meshcache.core.values.session import DER_BYTES_MAX, SESSION_ID_BYTES_MAX
from meshcache.core.wire.messages import BATCH_BYTES_MAX, BATCH_SESSIONS_MAX

SECONDS_MAX = (1 << 32) - 1
"""Of a time on the wire; longer ones are told as this."""


class ColumnError(ValueError):
    """The columns contradict one another or a maximum."""


def write_columns(first: int, last: int, entries: Entries) -> dict[str, Any]:
    """Return the fields of a batch as they travel."""
    count = len(entries.ids)
    body: dict[str, Any] = {"n": count}
    if not count:
        return body
    if count != last - first + 1:
        body["o"] = _numbers(4 if last - first < 1 << 32 else 8, [seq - first for seq in entries.seqs])
    if any(len(session_id) != SESSION_ID_BYTES_MAX for session_id in entries.ids):
        body["w"] = bytes(map(len, entries.ids))
    body["k"] = b"".join(entries.ids)
    body["z"] = _numbers(2, list(map(len, entries.ders)))
    body["s"] = b"".join(entries.ders)
    body["x"] = same_or_numbers(entries.remaining_s)
    if any(entries.elapsed_s):
        body["b"] = same_or_numbers(entries.elapsed_s)
    if any(entries.certified):
        body["c"] = bytes(map(bool, entries.certified))
    return body


def read_columns(first: int, last: int, body: dict[str, Any]) -> Entries:
    """Return the entries of a batch that covers `first` to `last`.

    Raises ColumnError for whatever doesn't add up, before anything is sliced.
    """
    count = body.get("n")
    if type(count) is not int or not 0 <= count <= BATCH_SESSIONS_MAX:
        raise ColumnError("count")
    if not count:
        return _NONE
    one = _usual_one(first, last, body) if count == 1 else None
    if one is not None:
        return one
    widths = body.get("w")
    ids = _cut_evenly(body.get("k"), count) if widths is None else _cut(body.get("k"), _id_widths(widths, count))
    ders = _cut(body.get("s"), _der_widths(body.get("z"), count))
    return Entries(
        _seqs(first, last, body.get("o"), count),
        ids,
        ders,
        _seconds(body.get("x"), count),
        _seconds(body.get("b", 0), count),
        _flags(body.get("c"), count),
    )


_NONE = Entries((), (), (), (), (), ())

_UNUSUAL = frozenset("owc")
"""Columns that a batch of one has only for a session that is unusual."""


def _usual_one(first: int, last: int, body: dict[str, Any]) -> Entries | None:
    """Return the only entry of a batch, as most have only one: a third of what a receiver spends on it went into
    columns.

    None for whatever is unusual about it, or wrong: that is for the general way to judge.
    """
    session_id, der, remaining_s, elapsed_s = body.get("k"), body.get("s"), body.get("x"), body.get("b", 0)
    usual = (
        first == last
        and _UNUSUAL.isdisjoint(body)
        and type(session_id) is bytes
        and len(session_id) == SESSION_ID_BYTES_MAX
        and type(der) is bytes
        and 0 < len(der) <= DER_BYTES_MAX
        and body.get("z") == len(der).to_bytes(2, "big")
        and type(remaining_s) is int
        and 0 <= remaining_s <= SECONDS_MAX
        and type(elapsed_s) is int
        and 0 <= elapsed_s <= SECONDS_MAX
    )
    if not usual:
        return None
    return Entries((first,), (session_id,), (der,), (remaining_s,), (elapsed_s,), (0,))  # type: ignore[arg-type]  # checked above


_LETTERS = {2: "H", 4: "I", 8: "Q"}


def _numbers(width: int, values: Sequence[int]) -> bytes:
    return pack(f">{len(values)}{_LETTERS[width]}", *values)


def same_or_numbers(values: Sequence[int]) -> int | bytes:
    """Return a column of seconds as it travels: one number where all are alike."""
    if min(values) == max(values):
        return min(values[0], SECONDS_MAX)
    return _numbers(4, [min(value, SECONDS_MAX) for value in values])


def _column(value: Any, width: int, count: int) -> bytes:
    if type(value) is not bytes or len(value) != width * count:
        raise ColumnError("column length")
    return value


def _seqs(first: int, last: int, offsets: Any, count: int) -> Sequence[int]:
    if offsets is None:
        if count != last - first + 1:
            raise ColumnError("count does not fill the range")
        return range(first, last + 1)
    wide = last - first >= 1 << 32
    places = unpack(f">{count}{'Q' if wide else 'I'}", _column(offsets, 8 if wide else 4, count))
    if places[-1] > last - first or any(earlier >= later for earlier, later in pairwise(places)):
        raise ColumnError("offsets")
    return [first + place for place in places]


def _id_widths(widths: Any, count: int) -> Sequence[int]:
    column = _column(widths, 1, count)
    if min(column) < 1 or max(column) > SESSION_ID_BYTES_MAX:
        raise ColumnError("id length")
    return column


def _der_widths(widths: Any, count: int) -> Sequence[int]:
    column = unpack(f">{count}H", _column(widths, 2, count))
    if min(column) < 1 or max(column) > DER_BYTES_MAX:
        raise ColumnError("DER length")
    return column


def _cut_evenly(joined: Any, count: int) -> list[bytes]:
    column = _column(joined, SESSION_ID_BYTES_MAX, count)
    return [column[start : start + SESSION_ID_BYTES_MAX] for start in range(0, len(column), SESSION_ID_BYTES_MAX)]


def _cut(joined: Any, widths: Sequence[int]) -> list[bytes]:
    if type(joined) is not bytes or len(joined) > BATCH_BYTES_MAX:
        raise ColumnError("joined column")
    ends = list(accumulate(widths, initial=0))
    if ends[-1] != len(joined):
        raise ColumnError("lengths do not add up")
    return [joined[start:end] for start, end in pairwise(ends)]


def _seconds(value: Any, count: int) -> Sequence[int]:
    if type(value) is int and 0 <= value <= SECONDS_MAX:
        return (value,) * count
    return unpack(f">{count}I", _column(value, 4, count))


def _flags(value: Any, count: int) -> Sequence[int]:
    if value is None:
        return bytes(count)
    column = _column(value, 1, count)
    if max(column) > 1:
        raise ColumnError("flag")
    return column
