"""The gaps that are known, by stream. Where there is no room for another, who told of the most makes room for it.

A member can invent streams, and what is missing of them, as many as it likes: that takes no other's room, nor its turn.
Fetches nothing: `repair` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from meshcache.core.values.session import StreamKey

_NOBODY = ""
"""Tells of what was given up: no node has an empty name."""


@dataclass(slots=True)
class Gap:
    """What is missing of a stream up to a number. ``teller`` is the node by whose word it is known. ``asked`` has
    answered what it has above ``below``, and is asked for the rest: one fetch has room for few ranges, and the highest
    may be with nobody.
    """

    upto: int
    due_at: float
    teller: str
    holders: list[str] = field(default_factory=list)
    attempts: int = 0
    token: int | None = None
    asked: str = ""
    below: int = 0


class Gaps:
    """One gap for each stream, so many at most; each counts as its teller's until it is given up."""

    def __init__(self, gaps_max: int) -> None:
        self._gaps_max = gaps_max
        self._gaps: dict[StreamKey, Gap] = {}
        self._told: dict[str, dict[StreamKey, None]] = {}
        self.get = self._gaps.get
        """The gap of this stream, or None."""

    def __len__(self) -> int:
        return len(self._gaps)

    def __iter__(self) -> Iterator[Gap]:
        return iter(self._gaps.values())

    @property
    def full(self) -> bool:
        """Return whether one more takes the place of another, if it finds one."""
        return len(self._gaps) >= self._gaps_max

    def add(self, key: StreamKey, gap: Gap) -> bool:
        """Note a gap of a stream that has none. Return whether there was room, or could be made."""
        if self.full and not self._make_room(gap.teller):
            return False
        self._gaps[key] = gap
        self._told.setdefault(gap.teller, {})[key] = None
        return True

    def remove(self, key: StreamKey) -> None:
        """Forget the gap of a stream."""
        self._let_go(key, self._gaps.pop(key).teller)

    def told(self, key: StreamKey, teller: str) -> None:
        """Count a gap as this node's, if it is the stream's origin, or if it had been given up."""
        gap = self._gaps[key]
        if gap.teller != teller and (teller == key.origin or gap.teller == _NOBODY):
            self._move(key, gap, teller)

    def given_up(self, key: StreamKey) -> None:
        """Count a gap as nobody's: it goes first, until somebody tells of it again."""
        self._move(key, self._gaps[key], _NOBODY)

    def due(self, now: float) -> list[tuple[StreamKey, Gap]]:
        """Return the gaps that are due to be asked for: the first of each teller, then the second of each."""
        due = [(gap.due_at, key) for key, gap in self._gaps.items() if gap.token is None and gap.due_at <= now]
        before: Counter[str] = Counter()
        turns = []
        for due_at, key in sorted(due):
            teller = self._gaps[key].teller
            turns.append((before[teller], due_at, key))
            before[teller] += 1
        return [(key, self._gaps[key]) for _, _, key in sorted(turns)]

    def _make_room(self, teller: str) -> bool:
        """Let go of what was told last by whoever told of the most: what it told before may be under way."""
        most = _NOBODY if _NOBODY in self._told else max(self._told, key=lambda name: len(self._told[name]))
        if most != _NOBODY and len(self._told[most]) <= len(self._told.get(teller, ())) + 1:
            return False
        self.remove(next(reversed(self._told[most])))
        return True

    def _move(self, key: StreamKey, gap: Gap, teller: str) -> None:
        self._let_go(key, gap.teller)
        gap.teller = teller
        self._told.setdefault(teller, {})[key] = None

    def _let_go(self, key: StreamKey, teller: str) -> None:
        del self._told[teller][key]
        if not self._told[teller]:
            del self._told[teller]
