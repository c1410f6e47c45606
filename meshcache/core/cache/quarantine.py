"""Remembers entries that the TLS side found unusable, so that a poisoned one costs one handshake and not one a copy."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

_LOOKED_FOR_MAX = 16
"""Ids that are looked for in each push of a known stream: with more of them the long way is as quick."""


class Quarantine:
    """Ids that aren't taken again for a while; the oldest is let go when there are too many."""

    def __init__(self, ids_max: int, lasts_s: float) -> None:
        self._ids_max = ids_max
        self._lasts_s = lasts_s
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, session_id: bytes, now: float) -> None:
        """Take nothing more under this id."""
        self._until[session_id] = now + self._lasts_s
        self._until.move_to_end(session_id)
        if len(self._until) > self._ids_max:
            self._until.popitem(last=False)

    def places(self, ids: Sequence[bytes], now: float) -> set[int]:
        """Return the indices of those ids that are held."""
        if not self._until:
            return set()
        return {at for at, session_id in enumerate(ids) if self._until.get(session_id, now) > now}

    def may_concern(self, payload: bytes) -> bool:
        """Return whether a message may hold an entry under one of them: in doubt, or where there are many, it may."""
        return len(self._until) > _LOOKED_FOR_MAX or any(each in payload for each in self._until)

    def expire(self, now: float) -> None:
        """Let go of those whose time is over."""
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
