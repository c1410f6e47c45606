"""What all duties of one core share: who we are, the tables, the counters and the way out. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshcache.core.cache import SessionCache
from meshcache.core.counters import Counters
from meshcache.core.crossings import Crossings
from meshcache.core.events import EventLog
from meshcache.core.limits import Limits
from meshcache.core.members import Members, Peer
from meshcache.core.messages import Message
from meshcache.core.post import Post
from meshcache.core.roster import RosterTable
from meshcache.core.streams import StreamTable
from meshcache.core.topology import Identity, Rng
from meshcache.core.vips import LocalVips


@dataclass(slots=True)
class Board:
    """The shared state of one core."""

    identity: Identity
    limits: Limits
    rng: Rng
    counters: Counters
    events: EventLog
    streams: StreamTable
    cache: SessionCache
    vips: LocalVips
    members: Members
    roster: RosterTable
    post: Post
    crossings: Crossings = field(default_factory=Crossings)
    last_seqs: dict[str, int] = field(default_factory=dict)
    """The newest number given for each VIP that isn't served any more: should it come back, its stream goes on."""

    def send(self, peer: Peer, message: Message) -> None:
        """Queue a message to a peer."""
        self.post.send(peer.address, message)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what was not done, by reason."""
        self.counters.dropped[reason] += count

    def pick(self, peers: list[Peer]) -> Peer | None:
        """One of these peers at random."""
        return peers[self.rng.randrange(len(peers))] if peers else None
