"""What duties tell the operator: counters, events and refusals. No duty reads what another has told."""

from __future__ import annotations

from dataclasses import dataclass

from meshcache.core.state.counters import Counters
from meshcache.core.state.refusals import Refusals
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import EventLog


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The three ways in which something is told; `stats` and `MeshCore.events` give it to whoever asks."""

    counters: Counters
    events: EventLog
    refusals: Refusals

    def drop(self, reason: Drop, count: int = 1) -> None:
        """Count what was dropped, by reason."""
        self.counters.dropped[reason] += count
