"""What can go wrong on a network, as an options record, and a tally of what really did.

A fault that was asked for and never happened makes every test behind it worthless: `Fired.lacks` finds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How messages travel. Probabilities are for each message; the delay is the minimum plus an exponential part."""

    delay_min_s: float = 0.0003
    delay_mean_s: float = 0.0005
    between_colos_s: float = 0.02
    """Added between colos: half a round trip across a continent."""
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """Share of messages that wait for `reorder_s` and let later ones overtake them."""
    reorder_s: float = 0.3
    queue_messages: int = 1000
    """Between two nodes, sent and not yet read: ZeroMQ's high-water marks. What is more is refused to the sender."""
    held_s: float = 6.0
    """What was sent so shortly before a cut heals arrives after all, late: TCP had not given up yet."""


CALM = NetworkOptions()
"""No faults: a good network between and inside colos."""


class Fired:
    """How often each kind of fault happened: counted where it had its effect, not where it was planned."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, kind: str, count: int = 1) -> None:
        self.counts[kind] += count

    def lacks(self, planned: Iterable[str]) -> list[str]:
        """The planned kinds that never happened."""
        return sorted(kind for kind in set(planned) if not self.counts[kind])


@dataclass(eq=False, slots=True)
class Cut:
    """No way from these nodes to those, and back unless it is one-way. ``stopped`` counts what it kept."""

    sources: frozenset[str]
    targets: frozenset[str]
    one_way: bool = False
    stopped: int = 0

    def stops(self, sender: str, receiver: str) -> bool:
        """Whether a message between two nodes doesn't get through."""
        if sender in self.sources and receiver in self.targets:
            return True
        return not self.one_way and sender in self.targets and receiver in self.sources

    @property
    def kind(self) -> str:
        return "one-way cut" if self.one_way else "cut"
