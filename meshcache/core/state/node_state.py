"""What all duties of one core share: who we are, the tables, the counters and the way out. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.streams import StreamTable
from meshcache.core.state.counters import Counters
from meshcache.core.state.crossings import Crossings
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.refusals import Refusals
from meshcache.core.state.roster import RosterTable
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import EventLog
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import Identity, Rng
from meshcache.core.wire.messages import Message


@dataclass(slots=True)
class NodeState:
    """The tables and counters of one core, which all its duties share."""

    identity: Identity
    limits: Limits
    rng: Rng
    counters: Counters
    events: EventLog
    streams: StreamTable
    cache: SessionCache
    vips: ServedVips
    members: Members
    roster: RosterTable
    outbox: Outbox
    refusals: Refusals
    crossings: Crossings = field(default_factory=Crossings)
    ways_back: dict[str, bytes] = field(default_factory=dict)
    """For the transport: addresses of peers, and the connection on which each was heard, since it last took them."""
    own_addresses: set[str] = field(default_factory=set)
    """Where this node was reached by itself."""
    last_seqs: dict[str, int] = field(default_factory=dict)
    """The newest number given for each VIP that isn't served any more: should it come back, its stream goes on."""

    def send(self, peer: Peer, message: Message) -> None:
        """Queue a message to a peer."""
        self.outbox.send(peer.address, message)

    def is_ourselves(self, peer: Peer) -> bool:
        """Whether a peer's address leads to this node, as 127.0.0.1 does; it is only heard on a connection of its own.

        A claim of that kind is never the end of a link: it counts while that connection is there.
        """
        return peer.address in self.own_addresses and peer.usable and bool(peer.way_back[1])

    def drop(self, reason: Drop, count: int = 1) -> None:
        """Count what was dropped, by reason."""
        self.counters.dropped[reason] += count

    def pick(self, peers: list[Peer]) -> Peer | None:
        """Return one of these peers at random; None if there are none."""
        return peers[self.rng.randrange(len(peers))] if peers else None
