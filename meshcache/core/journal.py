"""Finds the cached entries of one stream by sequence number, for repair and snapshots, at eight bytes an entry.

Holds the ids of entries that are in the cache and of no others: the cache tells it of every entry that goes.
"""

from __future__ import annotations

from collections.abc import Iterator

SPAN_MAX = 1 << 18
"""Distance between the lowest and the highest number kept. A jump further ahead starts anew: what falls out stays in the
cache and resumes, but this node can't repair it for others any more. Bounds memory whatever a peer claims."""

_TRIM_AT = 1024


class Journal:
    """Sequence number -> session id, as a list that slides upwards."""

    __slots__ = ("_base", "_empty_head", "_ids", "count")

    def __init__(self) -> None:
        self._base = 1
        self._ids: list[bytes | None] = []
        self._empty_head = 0
        self.count = 0

    def __repr__(self) -> str:
        return f"<Journal of {self.count} from #{self._base}>"

    def add(self, seq: int, session_id: bytes) -> None:
        """Note that entry `seq` is in the cache under `session_id`; a number below the span is not noted."""
        at = seq - self._base
        if at == len(self._ids) and at < SPAN_MAX:  # the common case: the stream goes on
            self._ids.append(session_id)
            self.count += 1
        elif at >= 0:
            self._add_apart(at, seq, session_id)

    def remove(self, seq: int) -> None:
        """Note that entry `seq` has left the cache."""
        at = seq - self._base
        if not 0 <= at < len(self._ids) or self._ids[at] is None:
            return
        self._ids[at] = None
        self.count -= 1
        if at == self._empty_head:
            self._trim()

    def between(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """The entries numbered `first` to `last` that are here, in order."""
        low = max(first - self._base, 0)
        for at in range(low, min(last - self._base + 1, len(self._ids))):
            session_id = self._ids[at]
            if session_id is not None:
                yield self._base + at, session_id

    def downwards(self, before: int) -> Iterator[tuple[int, bytes]]:
        """The entries numbered below `before` that are here, newest first."""
        for at in range(min(before - self._base, len(self._ids)) - 1, -1, -1):
            session_id = self._ids[at]
            if session_id is not None:
                yield self._base + at, session_id

    def _add_apart(self, at: int, seq: int, session_id: bytes) -> None:
        overflow = at + 1 - SPAN_MAX
        if overflow > 0:
            self.count -= sum(1 for known in self._ids[:overflow] if known is not None)
            del self._ids[:overflow]
            self._base = seq - SPAN_MAX + 1 if self._ids else seq
            self._empty_head = 0
            at = seq - self._base
        self._ids.extend([None] * (at + 1 - len(self._ids)))
        if self._ids[at] is None:
            self.count += 1
        self._ids[at] = session_id
        self._empty_head = min(self._empty_head, at)

    def _trim(self) -> None:
        while self._empty_head < len(self._ids) and self._ids[self._empty_head] is None:
            self._empty_head += 1
        if self._empty_head == len(self._ids) or self._empty_head >= max(_TRIM_AT, len(self._ids) // 2):
            del self._ids[: self._empty_head]
            self._base += self._empty_head
            self._empty_head = 0
