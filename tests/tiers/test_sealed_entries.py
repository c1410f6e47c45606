"""Entries in one object of bytes, and what a tier that knows nothing of that makes of them."""

from __future__ import annotations

import pytest

from meshcache.hooks import TierEntry
from meshcache.tiers.sealed_entries import SealedEntries, joined, pack

SOME = [TierEntry(bytes([number]) * 16, b"v" * number, number / 2) for number in range(5)]


def test_they_are_a_sequence_of_entries() -> None:
    entries = SealedEntries(pack(SOME), len(SOME))
    assert list(entries) == SOME
    assert (len(entries), entries[1], entries[2:]) == (5, SOME[1], SOME[2:])


def test_what_is_packed_is_packed_as_it_is() -> None:
    packed = pack(SOME)
    assert pack(SealedEntries(packed, len(SOME))) is packed


def test_nothing_is_no_entries() -> None:
    assert list(SealedEntries(pack([]), 0)) == []


def test_they_show_nothing() -> None:
    assert repr(SealedEntries(pack(SOME), 5)) == "<SealedEntries of 5>"


def test_there_is_no_entry_beyond_the_last() -> None:
    with pytest.raises(IndexError):
        SealedEntries(pack(SOME), 5)[5]


def test_packed_ones_are_joined_packed_and_others_as_entries() -> None:
    some, more = ([TierEntry(bytes([number]) * 16, b"value", 60.0)] for number in (1, 2))
    packed = [SealedEntries(pack(each), 1) for each in (some, more)]
    both = joined(packed)
    assert isinstance(both, SealedEntries)
    assert list(both) == joined([packed[0], more]) == some + more
    assert joined(packed[:1]) is packed[0]
