"""Looks into the tiers for a handshake that is paused: one after the other, each as long as it may take.

A step of the order of asking (`runtime.lookups.asking`). What is found is filed by the core, through the gates and
limits of every way in, on the tier's own reading thread; the handshake then looks it up as it would any other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from meshcache.core.wire.tier_record import Border
from meshcache.edges import native
from meshcache.runtime.lookups.asking import PausedLookup
from meshcache.runtime.pump.pump import Pump
from meshcache.tiers.runner import TierRunner
from meshcache.tiers.sealed_records import RefusedError, SealedRecords


class TierReads:
    """`runtime.lookups.asking.Asker` for the tiers of one node."""

    def __init__(self, pump: Pump, runners: Sequence[TierRunner]) -> None:
        self._pump = pump
        self._runners = runners
        self._records: dict[str, SealedRecords] = {}

    def use(self, records: SealedRecords, memory_records: SealedRecords) -> None:
        """Read with these keys from now on."""
        self._records = {"mesh": records, "memory": memory_records}

    def serves(self, vip: str, /) -> bool:  # noqa: ARG002 - tiers keep the sessions of all VIPs
        """Return whether there is a tier."""
        return bool(self._runners)

    def begin(self, lookup: PausedLookup, now: float, /) -> float | None:
        """Ask the first tier that is well. None when none is, or the VIP isn't served."""
        border = self._pump.core.tiering.border_of(lookup.vip)
        ready = [runner for runner in self._runners if runner.ready]
        if border is None or not _Read(self, lookup, border, ready).ask():
            return None
        return now + sum(runner.budget_s for runner in ready)

    def end(self, lookup: PausedLookup, now: float, /) -> None:
        """Do nothing: a question that was asked is answered, and what comes late is filed for the next time."""

    def restore(self, runner: TierRunner, vip: str, border: Border, session_id: bytes, value: bytes) -> bool:
        """File what a tier gave for this id. Return whether it is here now."""
        records = self._records["memory" if runner.memory_key else "mesh"]
        key = records.sealer.key_of(border, session_id)
        try:
            record = records.read(key, value, border)
        except RefusedError as error:
            runner.health.count(f"refused_{error.reason}")
            runner.remove([key])
            return False
        pump = self._pump
        with pump.lock:
            private, tiering = runner.hook.private, pump.core.tiering
            tiering.restore([record], pump.clock(), time.time(), private=private, loading=False)
            is_here = pump.core.holds(vip, session_id)
            withdrawn = not is_here and bool(tiering.withdrawn([record], pump.clock(), time.time()))
        if withdrawn:
            runner.remove([key])
        return is_here

    def key_of(self, runner: TierRunner, border: Border, session_id: bytes) -> bytes:
        """Return under which key a tier has a session."""
        return self._records["memory" if runner.memory_key else "mesh"].sealer.key_of(border, session_id)


class _Read:
    """One lookup, on its way through the tiers."""

    def __init__(self, reads: TierReads, lookup: PausedLookup, border: Border, runners: Sequence[TierRunner]) -> None:
        self._reads = reads
        self._lookup = lookup
        self._border = border
        self._ahead = list(runners)
        self._lock = native.Lock()
        self._unanswered = 0

    def ask(self) -> bool:
        """Ask the next tier that takes the question. False when there is none left."""
        while self._ahead:
            runner = self._ahead.pop(0)
            ids = self._lookup.ids
            with self._lock:
                self._unanswered = len(ids)
            keys = [self._reads.key_of(runner, self._border, session_id) for session_id in ids]
            answers = [partial(self._answered, runner, session_id) for session_id in ids]
            if runner.ask(*zip(keys, answers, strict=True)):
                return True
        return False

    def _answered(self, runner: TierRunner, session_id: bytes, value: bytes | None) -> None:
        """Take one answer, on the tier's reading thread."""
        reads, lookup = self._reads, self._lookup
        if value is not None and reads.restore(runner, lookup.vip, self._border, session_id, value):
            lookup.answer(reads, True)
            return
        with self._lock:
            self._unanswered -= 1
            last = not self._unanswered
        if last and not self.ask():
            lookup.answer(reads, False)
