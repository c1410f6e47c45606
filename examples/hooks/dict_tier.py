"""A tier: sealed sessions in a dict, the smallest that works; a real one keeps them outside of this process.

    [hooks]
    tiers = ["dict_tier:DictTier"]
    options = { "dict_tier:DictTier" = { entries_max = 100_000 } }

The module must be where Python finds it: installed, or in a folder of PYTHONPATH.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from meshcache.hooks import Tier, TierEntry


class DictTier(Tier):
    """Keeps the last so many."""

    def __init__(self, entries_max: int = 100_000) -> None:
        self._entries_max = entries_max
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        now = time.monotonic()
        found = {key: self._kept.get(key, (0.0, b"")) for key in keys}
        return {key: value for key, (ends_at, value) in found.items() if ends_at > now}

    def put(self, entries: Sequence[TierEntry]) -> None:
        now = time.monotonic()
        for entry in entries:
            self._kept[entry.key] = (now + entry.lasts_s, entry.value)
            self._kept.move_to_end(entry.key)
        while len(self._kept) > self._entries_max:
            self._kept.popitem(last=False)

    def remove(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self._kept.pop(key, None)

    def figures(self) -> Mapping[str, int]:
        return {"entries": len(self._kept)}
