"""The last step of asking: has the core fetch a session from who holds it, and waits as long as the VIP's policy lets.

Decides nothing: whom to ask, and whether at all, is `core/repair/pulling.py`.
"""

from __future__ import annotations

from meshcache.config import VipSettings
from meshcache.core.repair.pulling import PullLimits
from meshcache.runtime.lookups.asking import Asking, PausedLookup
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.vip_ports.session_ids import SessionIds


class Fetcher:
    """The `asking.Asker` that has sessions fetched from peers."""

    def __init__(self, pump: Pump, asking: Asking, ids: SessionIds) -> None:
        self._pump = pump
        self._asking = asking
        self._ids = ids
        self._core = pump.core
        self._waiting: dict[bytes, list[PausedLookup]] = {}  # with the pump's lock held
        pump.call_when_awaited_came(self._came)

    def serves(self, vip: str) -> bool:
        settings = self._asking.settings(vip)
        return settings is not None and settings.fetch != "off"

    def begin(self, lookup: PausedLookup, now: float) -> float | None:
        """Ask for each id; what is asked for already isn't asked for twice. Return until when to wait, or None: nobody
        was asked.
        """
        settings = self._asking.settings(lookup.vip)
        claims = [claim for each in lookup.ids if (claim := self._ids.read(each)) is not None]
        if settings is None or not claims:
            return None
        limits, waits_until = _limits(settings), now
        with self._pump.lock:
            for claim in claims:
                until = self._core.pulling.begin(lookup.vip, claim, limits, now)
                if until is not None:
                    self._core.awaiting.want(claim.id)
                    self._waiting.setdefault(claim.id, []).append(lookup)
                    waits_until = max(waits_until, until)
        if waits_until <= now:
            return None
        self._pump.published(now)
        self._pump.hurry()
        return waits_until

    def end(self, lookup: PausedLookup, now: float) -> None:
        """Wait for it no longer."""
        with self._pump.lock:
            for session_id in lookup.ids:
                waiting = self._waiting.get(session_id, [])
                if lookup in waiting:
                    waiting.remove(lookup)
                    self._core.awaiting.unwant(session_id)
                    self._core.pulling.end(session_id, now)
                    if not waiting:
                        del self._waiting[session_id]

    def _came(self, ids: list[bytes]) -> None:
        """Told by whoever read them, without the lock: it is here, or nobody who was asked has it."""
        with self._pump.lock:
            holds = self._core.holds
            told = [(lookup, holds(lookup.vip, each)) for each in ids for lookup in self._waiting.get(each, ())]
        for lookup, found in told:
            lookup.answer(self, found)


def _limits(settings: VipSettings) -> PullLimits:
    return PullLimits(settings.fetch_ms / 1000, settings.fetch == "reach", settings.fetch_far_ms / 1000)
