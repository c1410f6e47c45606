"""What duties tell the operator: counters, events and refusals. No duty reads what another has told."""

from __future__ import annotations

from dataclasses import dataclass

from meshcache.core.state.counters import Counters
from meshcache.core.state.refusals import Refusals
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import EventLog
from meshcache.core.wire.messages import Batch


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The three ways in which something is told; `stats` and `MeshCore.events` give it to whoever asks."""

    counters: Counters
    events: EventLog
    refusals: Refusals

    def drop(self, reason: Drop, count: int = 1) -> None:
        """Count what was dropped, by reason."""
        self.counters.dropped[reason] += count

    def count_received(self, batch: Batch | None) -> None:
        """Count the sessions of a message that came, whatever becomes of them."""
        if batch is not None:
            self.counters.received.sessions += len(batch.entries.ids)

    def count_lag(self, age_s: float, rtt_s: float | None, *, inside: bool) -> None:
        """Count a push: how long it waited where it was made, and the half of the way there and back."""
        histogram = self.counters.lag_inside if inside else self.counters.lag_between
        histogram.add(age_s + (rtt_s or 0.0) / 2)
