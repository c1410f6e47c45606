"""A set of sequence numbers kept as ranges: what was seen of a stream, however it came and in whatever order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

RANGES_MAX = 256
"""Separate ranges kept for one stream. Beyond it the lowest gap counts as seen: it is the oldest, and memory is bounded
whatever a peer sends."""


class Ranges:
    """Sorted, disjoint, inclusive ranges of positive numbers.

    >>> seen = Ranges([(1, 3), (5, 9)])
    >>> seen.add(4, 4)
    >>> list(seen), list(seen.missing(12))
    ([(1, 9)], [(10, 12)])
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """Return how many separate ranges there are, which is what memory and the wire pay for."""
        return len(self._firsts)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._firsts == other._firsts and self._lasts == other._lasts

    __hash__ = None  # type: ignore[assignment]  # mutable

    @property
    def highest(self) -> int:
        """The highest number in the set, or 0 when it is empty."""
        return self._lasts[-1] if self._lasts else 0

    @property
    def goes_on(self) -> int:
        """The number after the highest, where every one from 1 to that is in the set; else 0."""
        return self._lasts[0] + 1 if len(self._firsts) == 1 and self._firsts[0] == 1 else 0

    def add(self, first: int, last: int) -> None:
        """Add every number from `first` to `last`; what touches or overlaps becomes one range."""
        assert 0 < first <= last, "ranges are positive and run upwards; the decoder checks what peers say"
        if self._lasts and self._lasts[-1] + 1 == first:  # the common case by far: the stream goes on
            self._lasts[-1] = last
            return
        low = bisect_right(self._lasts, first - 2)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]
        if len(self._firsts) > RANGES_MAX:
            self._firsts[:2], self._lasts[:2] = [self._firsts[0]], [self._lasts[1]]

    def missing(self, upto: int) -> Iterator[tuple[int, int]]:
        """Yield the gaps from 1 to `upto`, in order."""
        expected = 1
        for first, last in self:
            if expected > upto:
                return
            if first > expected:
                yield expected, min(first - 1, upto)
            expected = last + 1
        if expected <= upto:
            yield expected, upto

    def covers(self, first: int, last: int) -> bool:
        """Return whether every number from `first` to `last` is in the set."""
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and last <= self._lasts[at]
