"""The first step of asking: waits for a session that is on its way here, and sends nothing for it.

Waits `await_ms` of the VIP at most, or as the lookup says itself. The core says whether it is worth it, and the pump
what has come.
"""

from __future__ import annotations

from meshcache.core.holders.awaiting import Whereabouts
from meshcache.core.values.session_id import Claim
from meshcache.runtime.lookups.asking import Asking, PausedLookup
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.vip_ports.session_ids import SessionIds

AWAITED_MAX = 4096
"""Handshakes that wait at a time; above it a miss is a miss at once. At 10,000 handshakes a second 50 wait."""


class Awaiter:
    """The `asking.Asker` that waits for what is on its way."""

    def __init__(self, pump: Pump, asking: Asking, ids: SessionIds) -> None:
        self._pump = pump
        self._asking = asking
        self._ids = ids
        self._core = pump.core
        self._waiting: dict[bytes, list[PausedLookup]] = {}  # with the pump's lock held
        self.waits = 0
        """Handshakes that wait now."""
        pump.call_when_awaited_came(self._came)

    def serves(self, vip: str) -> bool:
        settings = self._asking.settings(vip)
        return settings is not None and settings.await_ms > 0

    def begin(self, lookup: PausedLookup, now: float) -> float | None:
        """Wait if one of the ids is on its way. Return until when, or None: none is."""
        settings = self._asking.settings(lookup.vip)
        claims = [claim for each in lookup.ids if (claim := self._ids.read(each)) is not None]
        if settings is None or not claims:
            return None
        with self._pump.lock:
            awaited = self._on_their_way(lookup.vip, claims, now)
            if not awaited or self.waits >= AWAITED_MAX:
                return None
            for session_id in awaited:
                self._core.awaiting.want(session_id)
                self._waiting.setdefault(session_id, []).append(lookup)
            self.waits += 1
            here = any(self._core.holds(lookup.vip, each) for each in awaited)
        if here:  # it came between the first look and this one
            lookup.answer(self, found=True)
        self._pump.hurry()
        return now + (settings.await_ms / 1000 if lookup.wait_s is None else lookup.wait_s)

    def end(self, lookup: PausedLookup, _now: float) -> None:
        """Wait for it no longer, if it waits."""
        waited = False
        with self._pump.lock:
            for session_id in lookup.ids:
                waiting = self._waiting.get(session_id, [])
                if lookup in waiting:
                    waited = True
                    waiting.remove(lookup)
                    self._core.awaiting.unwant(session_id)
                    if not waiting:
                        del self._waiting[session_id]
            self.waits -= waited

    def _on_their_way(self, vip: str, claims: list[Claim], now: float) -> list[bytes]:
        whereabouts = self._core.awaiting.whereabouts
        return [claim.id for claim in claims if whereabouts(vip, claim, now) is Whereabouts.ON_ITS_WAY]

    def _came(self, ids: list[bytes]) -> None:
        """Told by whoever read them, without the lock."""
        with self._pump.lock:
            holds = self._core.holds  # or it was refused: then it won't come
            told = [(lookup, holds(lookup.vip, each)) for each in ids for lookup in self._waiting.get(each, ())]
        for lookup, found in told:
            lookup.answer(self, found)
