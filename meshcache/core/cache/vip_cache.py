"""One VIP's part of the cache, and a walk through all parts: entries in order of use, within a maximum.

Knows entries as bytes only; `cache` knows what is in them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice

from meshcache.core.cache.entry import ENTRY_OVERHEAD_BYTES, HEAD_BYTES, cost

_VICTIMS = 1024
"""Entries looked up at a time as next to be evicted, so that skipping the dict's deleted slots is paid for once."""

_BESIDE_BYTES = ENTRY_OVERHEAD_BYTES - HEAD_BYTES


class VipCache:
    """One VIP's part of the cache: its entries in order of use, and its limits."""

    __slots__ = ("_victims", "bytes", "bytes_max", "entries", "evicted", "sessions_max")

    def __init__(self, bytes_max: int, sessions_max: int) -> None:
        self.bytes_max = bytes_max
        self.sessions_max = sessions_max
        self.bytes = 0
        self.evicted = 0
        self.entries: dict[bytes, bytes] = {}
        self._victims: OrderedDict[bytes, None] = OrderedDict()

    def put(self, session_id: bytes, packed: bytes) -> None:
        self.entries[session_id] = packed
        self.bytes += len(session_id) + len(packed) + _BESIDE_BYTES  # `cost`, without a call

    def get(self, session_id: bytes) -> bytes | None:
        packed = self.entries.pop(session_id, None)
        if packed is not None:
            self.entries[session_id] = packed  # a dict keeps the order of insertion: this makes it the youngest
            self._victims.pop(session_id, None)
        return packed

    def pop(self, session_id: bytes) -> bytes | None:
        packed = self.entries.pop(session_id, None)
        if packed is not None:
            self.bytes -= cost(session_id, packed)
            self._victims.pop(session_id, None)
        return packed

    def fits(self, entry_bytes: int) -> bool:
        """Whether an entry of this cost can be here at all, with every other one gone."""
        return entry_bytes <= self.bytes_max and self.sessions_max > 0

    def over(self) -> bool:
        return self.bytes > self.bytes_max or len(self.entries) > self.sessions_max

    def oldest(self) -> bytes:
        """The id that was used longest ago."""
        if not self._victims:
            self._victims.update(dict.fromkeys(islice(self.entries, _VICTIMS)))
        return next(iter(self._victims))


class Sweep:
    """Walks through all entries, one share after the other, a few at a time.

    What is filed meanwhile is met in the next round. A share's turn begins with a copy of its ids, which takes about a
    millisecond for 200,000 of them; a copy of all shares' entries with their shares would take forty.
    """

    def __init__(self) -> None:
        self._waiting: list[VipCache] = []
        self._share: VipCache | None = None
        self._ids: list[bytes] = []

    def take(self, shares: Iterable[VipCache], budget: int) -> Iterator[tuple[VipCache, bytes]]:
        """Up to `budget` of the ids whose turn it is, with their share; some may have left it since."""
        if not self._ids:
            self._waiting = self._waiting or [share for share in shares if share.entries]
            self._share = self._waiting.pop() if self._waiting else None
            self._ids = list(self._share.entries) if self._share else []
        at = max(len(self._ids) - budget, 0)
        session_ids = self._ids[at:]
        del self._ids[at:]
        for session_id in session_ids:
            assert self._share is not None, "ids come from a share"
            yield self._share, session_id
