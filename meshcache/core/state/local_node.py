"""This node itself: who it is in its present life, what it may use of memory and time, and its source of chance."""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshcache.core.state.members import Peer
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import Identity, Rng


@dataclass(slots=True)
class LocalNode:
    """What every duty may know of its own node. Only the incarnation ever changes, when it is outbid."""

    identity: Identity
    limits: Limits
    rng: Rng

    def go_on_as(self, incarnation: int) -> None:
        """Speak as a later life of this node from now on."""
        self.identity = replace(self.identity, incarnation=incarnation)

    def pick(self, peers: list[Peer]) -> Peer | None:
        """Return one of these peers at random; None if there are none."""
        return peers[self.rng.randrange(len(peers))] if peers else None
