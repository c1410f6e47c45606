"""Plain numbers that the core counts in passing: an addition each, nothing that could fail, and all but `Tallies` under
the node's lock.

Knows no names of JSON; `stats` gives them their form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import NamedTuple

from meshcache.core.state.lag import LagHistogram
from meshcache.core.values.drops import Drop
from meshcache.core.wire.messages import Message

KEY_AGES = ("1h", "6h", "24h", "older")
"""Ages of ticket keys, each up to that much."""

HANDSHAKE_RESULTS = ("full", "local", "remote", "pulled", "failed")


class Tallies:
    """Counts by name that any thread may add to at any time, exactly and without a lock; reading needs the node's lock.

    Giving out the next number is one step of the interpreter's, where ``+= 1`` is three. To read is to take a number
    too, so what was read before is taken off.
    """

    __slots__ = ("_numbers", "_read")

    def __init__(self, names: Iterable[str]) -> None:
        self._numbers = {name: count() for name in names}
        self._read = dict.fromkeys(self._numbers, 0)

    def add(self, name: str) -> None:
        """Count one."""
        next(self._numbers[name])

    def add_many(self, name: str, amount: int) -> None:
        """Count several at once; needs the node's lock."""
        self._read[name] -= amount

    def __getitem__(self, name: str) -> int:
        read = self._read[name]
        self._read[name] = read + 1
        return next(self._numbers[name]) - read


def key_age(age_s: float) -> str:
    """Return the word of `KEY_AGES` for an age."""
    return KEY_AGES[sum(age_s > hours * 3600 for hours in (1, 6, 24))]


@dataclass(slots=True)
class TicketCounters:
    """What happened to one VIP's tickets. ``opened`` is by `key_age`, ``unknown_key`` counts what no key here opens."""

    issued: int = 0
    opened: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unknown_key: int = 0


class FoundAtDoor(NamedTuple):
    """How handshakes ended that were looked up without the core, since it was told last; in the door's order."""

    local: int = 0
    remote: int = 0
    pulled: int = 0
    miss: int = 0
    foreign: int = 0
    full: int = 0
    hit_not_resumed: int = 0
    resumed_local: int = 0
    resumed_remote: int = 0
    resumed_pulled: int = 0


@dataclass(slots=True)
class VipCounters:
    """What happened to one VIP since it was first served; a change of its settings doesn't reset them."""

    handshakes: Tallies = field(default_factory=lambda: Tallies(HANDSHAKE_RESULTS))
    local: int = 0
    remote: int = 0
    pulled: int = 0
    miss: int = 0
    foreign: int = 0
    """Ids that no member made: clients' own random ones, another mesh's, or of a key that was retired."""
    expired: int = 0
    lookups_refused: Counter[str] = field(default_factory=Counter)
    hit_not_resumed: int = 0
    made: int = 0
    pushed: int = 0
    received: int = 0
    repaired: int = 0
    restored: int = 0
    duplicate: int = 0
    recalled: int = 0
    withdrawn: int = 0
    consumed: int = 0
    """Sessions that a handshake here used up (``single_use``)."""
    consumed_elsewhere: int = 0
    consumed_twice: int = 0
    """Sessions that resumed a second time all the same: here, or here and elsewhere, where both ends count it."""
    sessions_refused: Counter[str] = field(default_factory=Counter)
    passed_on_unkept: Counter[str] = field(default_factory=Counter)
    """Sessions that this node passed on in its colo and had no room to keep for a while, by what there was too little
    of (`holders.relay_retention`)."""
    tickets: TicketCounters = field(default_factory=TicketCounters)
    evicted_before: int = 0
    """By earlier parts of the cache that this VIP had: one that is given back takes its own count along."""
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Looking elsewhere while a handshake was paused, by step and how that ended."""

    def refuse(self, reason: Enum, count: int = 1) -> None:
        """Count sessions that aren't kept here, by why: a `Verdict`, or what the cache says in place of "stored"."""
        self.sessions_refused[reason.value] += count

    def add_found(self, found: FoundAtDoor) -> None:
        self.local += found.local
        self.remote += found.remote
        self.pulled += found.pulled
        self.miss += found.miss
        self.foreign += found.foreign
        self.hit_not_resumed += found.hit_not_resumed
        ended = found.full, found.resumed_local, found.resumed_remote, found.resumed_pulled
        for result, amount in zip(HANDSHAKE_RESULTS, ended, strict=False):
            self.handshakes.add_many(result, amount)


@dataclass(slots=True)
class Traffic:
    """Messages in one direction."""

    messages: int = 0
    bytes: int = 0
    sessions: int = 0
    kinds: Counter[type[Message]] = field(default_factory=Counter)


@dataclass(slots=True)
class Counters:
    """What happened to this node in the mesh."""

    vips: dict[str, VipCounters] = field(default_factory=dict)
    sent: Traffic = field(default_factory=Traffic)
    received: Traffic = field(default_factory=Traffic)
    dropped: Counter[Drop] = field(default_factory=Counter)
    """Messages or sessions, by reason; the reasons are listed in docs/protocol.md."""
    repaired: int = 0
    relayed: int = 0
    unknown_fields: int = 0
    lag_inside: LagHistogram = field(default_factory=LagHistogram)
    lag_between: LagHistogram = field(default_factory=LagHistogram)

    def vip(self, name: str) -> VipCounters:
        """Return a VIP's counters; made for VIPs that this node serves only,
        so there are as many as an operator named.
        """
        counters = self.vips.get(name)
        if counters is None:
            counters = self.vips[name] = VipCounters()
        return counters
