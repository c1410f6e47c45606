"""Counts what goes wrong with single connections, by kind, and says so in the log at most once a minute.

Never logs for each connection: a log that an attacker can fill is an attack of its own.
"""

from __future__ import annotations

import logging
from collections import Counter

log = logging.getLogger("meshcache.server")

REPORT_EVERY_S = 60.0
"""Soon enough to see a trouble while it lasts, seldom enough to be read."""

KINDS_MAX = 256
"""Kinds are fixed texts, ours and OpenSSL's reasons; beyond this many they are counted as ``other``."""


class Faults:
    """Counters by kind since the start, and what was new since the last report."""

    __slots__ = ("_next_report", "_unreported", "total")

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self._unreported: Counter[str] = Counter()
        self._next_report = 0.0

    def count(self, kind: str, *, told: bool = True) -> None:
        """One more of this kind: a fixed text, such as ``handshake timeout``, and nothing that a client chose.

        What isn't `told` is an everyday thing, and no line in the log.
        """
        if kind not in self.total and len(self.total) >= KINDS_MAX:
            kind = "other"
        self.total[kind] += 1
        if told:
            self._unreported[kind] += 1

    def bug(self, where: str, error: Exception) -> None:
        """Count an exception of our own making; the first between two reports is logged in full."""
        if not self._unreported["our own fault"]:
            log.error("a fault of the server's own, %s; it cost one connection", where, exc_info=error)
        self.count("our own fault")

    def report(self, now: float) -> None:
        """Log what was counted since the last report, if that was long enough ago."""
        if self._unreported and now >= self._next_report:
            counted = ", ".join(f"{count} {kind}" for kind, count in self._unreported.most_common())
            log.info("connections that ended badly: %s", counted)
            self._unreported.clear()
            self._next_report = now + REPORT_EVERY_S
