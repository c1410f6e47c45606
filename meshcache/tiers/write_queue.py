"""What waits to be written to one tier and to be taken out of it, in the order in which that was asked for, bounded;
and, beside that order, what has to be kept.

Knows keys and sealed values only, and no tier: `TierRunner` writes. Threads may share it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from meshcache.edges import native
from meshcache.hooks import TIER_BATCH_MAX, TIER_WAITING_MAX, TierEntry


class WriteQueue:
    """Entries and removals of one tier: `TIER_WAITING_MAX` of each at most."""

    def __init__(self) -> None:
        self.going: Counter[bytes] = Counter()
        """How often each key is among the removals, or is being taken out just now; what it finds counts as gone."""
        self.to_keep: Sequence[TierEntry] = ()
        """What is to be written however often that fails: a batch at most. Call `kept` when it is."""
        self._entries: deque[Sequence[TierEntry]] = deque()
        """As they were offered, up to a batch in each."""
        self._removals: deque[tuple[int, bytes]] = deque()
        """Each with how many entries had been offered before it: those are written first, or it would do nothing."""
        self._offered = 0
        self._taken = 0
        self._lock = native.Lock()

    @property
    def waiting(self) -> int:
        """How many entries wait to be written."""
        return self._offered - self._taken

    @property
    def has_entries(self) -> bool:
        return bool(self._entries)

    def offer(self, entries: Sequence[TierEntry]) -> int:
        """Add entries. Return for how many there was no room."""
        with self._lock:
            room = max(TIER_WAITING_MAX - self.waiting, 0)
            skipped = max(len(entries) - room, 0)
            if skipped:
                entries = entries[:room]
            if 0 < len(entries) <= TIER_BATCH_MAX:
                self._entries.append(entries)
            else:
                self._entries.extend(entries[at : at + TIER_BATCH_MAX] for at in range(0, len(entries), TIER_BATCH_MAX))
            self._offered += len(entries)
        return skipped

    def remove(self, keys: Sequence[bytes]) -> int:
        """Add removals. Return how many of the oldest were forgotten for them: what these are about stays."""
        with self._lock:
            self._removals.extend((self._offered, key) for key in keys)
            self.going.update(keys)
            lost = max(len(self._removals) - TIER_WAITING_MAX, 0)
            for _ in range(lost):
                self._is_over(self._removals.popleft()[1])
        return lost

    def keep(self, entries: Sequence[TierEntry]) -> None:
        """Have these kept, in place of those that still wait for that."""
        assert len(entries) <= TIER_BATCH_MAX, "they are written at once"
        with self._lock:
            self.to_keep = entries

    def kept(self, entries: Sequence[TierEntry]) -> None:
        """These were written; others may have come meanwhile."""
        with self._lock:
            if self.to_keep is entries:
                self.to_keep = ()

    def take_removals(self) -> list[bytes]:
        """Take those before which nothing is to be written any more; call `gone` or `put_back` next."""
        keys: list[bytes] = []
        with self._lock:
            while self._removals and len(keys) < TIER_BATCH_MAX and self._removals[0][0] <= self._taken:
                keys.append(self._removals.popleft()[1])
        return keys

    def gone(self, keys: Sequence[bytes]) -> None:
        """These were taken out."""
        with self._lock:
            for key in keys:
                self._is_over(key)

    def put_back(self, keys: Sequence[bytes]) -> None:
        """These couldn't be taken out. They have to go, even if what was offered after them is written before."""
        with self._lock:
            self._removals.extendleft((self._taken, key) for key in reversed(keys))

    def skip_to_removals(self) -> int:
        """Leave out the entries that removals wait behind, since they can't be written. Return how many those were."""
        skipped = 0
        with self._lock:
            ahead = self._removals[-1][0] - self._taken if self._removals else 0
            while self._entries and skipped < ahead:
                skipped += len(self._entries.popleft())
            self._taken += skipped
        return skipped

    def take_entries(self) -> list[Sequence[TierEntry]]:
        """Take some of those that wait, of which there are any: up to the next removal, which stands between two that
        were offered, unless it is one that couldn't be made.
        """
        with self._lock:
            ahead = self._removals[0][0] - self._taken if self._removals else 0
            count_max = min(ahead, TIER_BATCH_MAX) if ahead > 0 else TIER_BATCH_MAX
            some = [self._entries.popleft()]
            count = len(some[0])
            while self._entries and count + len(self._entries[0]) <= count_max:
                some.append(self._entries.popleft())
                count += len(some[-1])
            self._taken += count
        return some

    def _is_over(self, key: bytes) -> None:
        self.going[key] -= 1
        if not self.going[key]:
            del self.going[key]
