"""How a cached entry and a batch of them lie in memory: a head of fixed size before the DER, columns for a batch.

Sessions in a batch are worked on by the column: at 64 a batch, that is what keeps one near a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor
from struct import Struct
from struct import error as StructError  # noqa: N812 - as errors are named
from typing import NamedTuple

HEAD = Struct("<IQiiB")
"""Stream index, sequence number, expiry and lineage birth in whole seconds since the cache was made, and whether the
session has a client certificate."""

HEAD_BYTES = HEAD.size

ENTRY_OVERHEAD_BYTES = 192
"""What an entry takes beside its id and its DER: two object headers, the header above, a dict slot at a typical load
and a journal slot. Measured by ``benchmarks/memory.py``; it makes ``max_bytes`` a bound on memory, not on payload."""

_T_MIN, _T_MAX = -(2**31), 2**31 - 1


class Entries(NamedTuple):
    """A batch in columns of one length, sequence numbers ascending; times are whole seconds from now.

    Ids and DERs are secrets: ``repr`` shows how many there are.
    """

    seqs: Sequence[int]
    ids: Sequence[bytes]
    ders: Sequence[bytes]
    remaining_s: Sequence[int]
    elapsed_s: Sequence[int]
    certified: Sequence[int]

    def __repr__(self) -> str:
        return f"<Entries of {len(self.ids)}>"

    def rows(self) -> Iterator[tuple[int, bytes, bytes, int, int, int]]:
        """Return the entries one by one."""
        yield from zip(*self, strict=True)

    def chosen(self, places: Sequence[int]) -> Entries:
        """Return only the entries at these indices."""
        return Entries(
            [self.seqs[at] for at in places],
            [self.ids[at] for at in places],
            [self.ders[at] for at in places],
            [self.remaining_s[at] for at in places],
            [self.elapsed_s[at] for at in places],
            [self.certified[at] for at in places],
        )


def pack_head(index: int, seq: int, expiry: float, birth: float, certified: int) -> bytes:
    """Return the head of one entry; times are rounded down, which never prolongs a session, and clamped to 32 bits."""
    try:
        return HEAD.pack(index, seq, floor(expiry), floor(birth), certified)
    except (StructError, OverflowError):
        return HEAD.pack(index, seq, _clamp(expiry), _clamp(birth), certified)


def pack_many(index: int, entries: Entries, second: int) -> list[bytes]:
    """Return all entries of a batch, packed, at `second` seconds since the cache was made."""
    pack = HEAD.pack
    try:
        return [
            pack(index, seq, second + remaining, second - elapsed, certified) + der
            for seq, _, der, remaining, elapsed, certified in zip(*entries, strict=True)
        ]
    except StructError:
        return [
            pack_head(index, seq, second + remaining, second - elapsed, certified) + der
            for seq, _, der, remaining, elapsed, certified in zip(*entries, strict=True)
        ]


def cost(session_id: bytes, packed: bytes) -> int:
    """Return the bytes of memory that one entry is charged with."""
    return len(session_id) + len(packed) - HEAD_BYTES + ENTRY_OVERHEAD_BYTES


def _clamp(seconds: float) -> int:
    return floor(max(min(seconds, _T_MAX), _T_MIN))
