"""Sealed sessions as the compiled module gives them, many in one object: entries are made of them where somebody asks.

A tier of this package takes the bytes as they are; to every other one it is a sequence of `TierEntry`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import overload

from meshcache.hooks import TIER_KEY_BYTES, TierEntry

_HEAD = Struct(f"=dI{TIER_KEY_BYTES}s")
"""How long it lasts, how many bytes its value has, and the key; the value is behind it (hot.h, TIER_ENTRY_BYTES)."""


class SealedEntries(Sequence[TierEntry]):
    """Never changes."""

    def __init__(self, packed: bytes, count: int) -> None:
        self.packed = packed
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[TierEntry]:
        at, packed = 0, self.packed
        while at < len(packed):
            lasts_s, value_bytes, key = _HEAD.unpack_from(packed, at)
            at += _HEAD.size + value_bytes
            yield TierEntry(key, packed[at - value_bytes : at], lasts_s)

    @overload
    def __getitem__(self, at: int) -> TierEntry: ...
    @overload
    def __getitem__(self, at: slice) -> list[TierEntry]: ...
    def __getitem__(self, at: int | slice) -> TierEntry | list[TierEntry]:
        return list(self)[at]

    def __repr__(self) -> str:
        return f"<SealedEntries of {self._count}>"


def pack(entries: Sequence[TierEntry]) -> bytes:
    """Return entries in the same form."""
    if isinstance(entries, SealedEntries):
        return entries.packed
    return b"".join(_HEAD.pack(lasts_s, len(value), key) + value for key, value, lasts_s in entries)


def joined(parts: Sequence[Sequence[TierEntry]]) -> Sequence[TierEntry]:
    """Return one sequence, which is packed when all of them are."""
    if len(parts) == 1:
        return parts[0]
    packed = [part for part in parts if isinstance(part, SealedEntries)]
    if len(packed) == len(parts):
        return SealedEntries(b"".join(part.packed for part in packed), sum(map(len, packed)))
    return [entry for part in parts for entry in part]
