"""Counts what goes wrong with single connections, by kind, and says so in the log at most once a minute.

Never logs for each connection: a log that an attacker can fill is an attack of its own.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import NamedTuple

log = logging.getLogger("meshcache.server")

REPORT_EVERY_S = 60.0
"""Soon enough to see a trouble while it lasts, seldom enough to be read."""

KINDS_MAX = 256
"""Kinds are fixed texts, ours and OpenSSL's reasons; beyond this many they are counted as ``other``."""


PLACES_MAX = 4096
"""Kinds by VIP and backend; beyond so many they are counted without."""

PLACES_SHOWN = 50
"""In one line of the log."""


class FaultPlace(NamedTuple):
    """What went wrong, on which VIP and with which backend; either may be unknown."""

    kind: str
    vip: str = ""
    backend: str = ""

    def __str__(self) -> str:
        where = ", ".join(([f"VIP {self.vip}"] if self.vip else []) + ([self.backend] if self.backend else []))
        return f"{self.kind} ({where})" if where else self.kind


class Faults:
    """Counters by kind since the start, and what was new since the last report."""

    __slots__ = ("_next_report", "_unreported", "by_place", "handshakes", "total")

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.by_place: Counter[FaultPlace] = Counter()
        self.handshakes: Counter[tuple[str, str]] = Counter()
        """Those that ended a handshake, by VIP and kind."""
        self._unreported: Counter[FaultPlace] = Counter()
        self._next_report = 0.0

    def count(
        self, kind: str, vip: str = "", backend: str = "", *, told: bool = True, in_handshake: bool = False
    ) -> None:
        """One more of this kind: a fixed text, such as ``handshake timeout``, and nothing that a client chose.

        `vip` and `backend` say where, as far as that is known. What isn't `told` is an everyday thing, and no line in
        the log.
        """
        if kind not in self.total and len(self.total) >= KINDS_MAX:
            kind = "other"
        place = FaultPlace(kind, vip, backend)
        if place not in self.by_place and len(self.by_place) >= PLACES_MAX:
            place = FaultPlace(kind)
        self.total[kind] += 1
        self.by_place[place] += 1
        if in_handshake:
            self.handshakes[vip, kind] += 1
        if told:
            self._unreported[place] += 1

    def bug(self, where: str, error: Exception) -> None:
        """Count an exception of our own making; the first between two reports is logged in full."""
        if not self._unreported[FaultPlace("our own fault")]:
            log.error("a fault of the server's own, %s; it cost one connection", where, exc_info=error)
        self.count("our own fault")

    def report(self, now: float) -> None:
        """Log what was counted since the last report, if that was long enough ago."""
        if self._unreported and now >= self._next_report:
            counted = ", ".join(f"{count} {place}" for place, count in self._unreported.most_common(PLACES_SHOWN))
            others = sum(self._unreported.values()) - sum(n for _, n in self._unreported.most_common(PLACES_SHOWN))
            counted += f", {others} others" if others else ""
            log.info("connections that ended badly: %s", counted)
            self._unreported.clear()
            self._next_report = now + REPORT_EVERY_S
