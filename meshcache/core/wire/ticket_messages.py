"""The two messages about session ticket keys: the keys themselves, and what a node has of them.

Holds facts only. Keys go to nodes of their ring alone, on CURVE links; a status has names, which any ticket shows.
"""

from __future__ import annotations

from dataclasses import field
from typing import NamedTuple

from meshcache.records import record

KEYS_MAX = 48
"""Keys of one ring: 24 that still open (a crosscheck of the configuration), twice for a mesh that was split."""

RINGS_MAX = 64
"""As many as a node may serve VIPs."""

AGE_MS_MAX = 1 << 42
"""139 years; a key that old is refused for its age."""


@record
class ToldKey:
    """A key as it travels: times are how long ago and for how long, so that no two clocks need agree."""

    generation: int
    secret: bytes = field(repr=False)
    age_ms: int
    rotate_s: int
    lifetime_s: int


@record
class TicketKeys:
    """Keys of one ring, for a node that is in it too."""

    ring: bytes
    keys: tuple[ToldKey, ...] = field(repr=False)


class HeldKey(NamedTuple):
    """A key that the sender has, by what orders it and by its name, and how old that is as far as the sender knows."""

    generation: int
    name: bytes
    age_ms: int = 0

    @property
    def rank(self) -> tuple[int, bytes]:
        return self.generation, self.name


class RingStatus(NamedTuple):
    """What the sender has of a ring, newest first.

    ``spread``: the name of its newest key, if every node of its own colo that is in the ring and lives has that, and
    none is known to have a newer one.
    """

    ring: bytes
    held: tuple[HeldKey, ...]
    spread: bytes = b""


@record
class TicketStatus:
    """The rings that sender and receiver are both in, as the sender has them. Whoever sees a key missing sends it."""

    rings: tuple[RingStatus, ...]
