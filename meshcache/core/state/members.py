"""The nodes that this one talks to, and what it thinks of each: alive, suspect or lost. An opinion is never passed on.

Keeps the table and its states; `greeting` lets nodes in, `liveness` watches them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from meshcache.core.values.events import (
    EventLog,
    PeerForgotten,
    PeerJoined,
    PeerLeft,
    PeerLost,
    PeerRecovered,
    PeerSuspect,
)
from meshcache.core.values.limits import Limits
from meshcache.core.values.token_bucket import Bucket
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.record_size import PEER_BYTES_FAIR, PEERS_BYTES_MAX, weight

FORGOTTEN_MAX = 1024
"""Incarnations that left or were forgotten and that hearsay must not bring back; remembered as long as lost ones."""

SAID_MAX = 4096
"""Nodes that were peers and aren't, of which it is remembered how new their last terms were: some 200 bytes each."""


class PeerState(Enum):
    """What this node thinks of a peer."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    LOST = "lost"


@dataclass(slots=True, eq=False)
class Peer:
    """A node whose hello was accepted. ``address`` is where this node dials it, which may differ from its record's;
    ``reached`` says that it has answered from there.

    ``knows`` is the revision of our own record that the peer has, ``chosen`` whether the peer wants the link.
    ``parting`` says that our last heartbeat told it that we don't, so the link may end without a surprise.
    ``loss`` is the share of its heartbeats that don't arrive, ``flaps`` how often it was suspect or lost and then came
    back. No batch is offered to it before ``blocked_until``. What comes from it may have been under way for ``late_s``,
    once it is certain that it was sent after the newest withdraw, which came at ``withdrawn_at``: it was sent after
    ``sent_after``, when the newest ping went that it has answered; nor is it certain that it has heard us since.
    ``pings`` are those that it may still answer, each with its token and when it went.
    ``compared_at`` is when either last told the other what it has seen. ``way_back`` is the address and the connection
    of our listener on which it was last heard, ``reaches_us`` whether the newest message came to the listener at all.
    Its clock is ``ahead_s`` of ours, give or take half a round trip.
    ``contested_at`` is when somebody else last
    began to claim its name, ``told_old_at`` when somebody was last told that it speaks as an earlier life.
    It is ``displaced`` from when another peer was dialled at the same address until it answers a ping from there, which
    ended last at ``found_at``: a node that crashed leaves its address to whoever comes next. For `FOUND_S` from then on
    it isn't displaced again, and the newest claim to its address meanwhile is noted as ``claimed_at``.
    """

    record: NodeRecord
    address: str
    origin_bucket: Bucket
    heard_at: float
    linger_until: float
    reached: bool = False
    state: PeerState = PeerState.ALIVE
    joining: bool = False
    chosen: bool = True
    parting: bool = False
    knows: int = 0
    islands: frozenset[str] = field(default_factory=frozenset)
    beats: int = 0
    beats_sent: int = 0
    loss: float = 0.0
    probe_at: float = 0.0
    hello_at: float = 0.0
    hello_pause_s: float = 0.0
    ping_at: float = 0.0
    pings: tuple[tuple[int, float], ...] = ()
    rtt_s: float | None = None
    ahead_s: float | None = None
    blocked_until: float = 0.0
    flaps: int = 0
    late_s: float = 0.0
    withdrawn_at: float = -inf
    sent_after: float = -inf
    compared_at: float = 0.0
    way_back: tuple[str, bytes] = ("", b"")
    reaches_us: bool = True
    contested_at: float | None = None
    told_old_at: float | None = None
    displaced: bool = False
    found_at: float = -inf
    claimed_at: float = -inf

    @property
    def name(self) -> str:
        return self.record.node

    @property
    def colo(self) -> str:
        return self.record.colo

    @property
    def usable(self) -> bool:
        """Whether it makes sense to send to this peer: it isn't lost."""
        return self.state is not PeerState.LOST

    @property
    def unproven(self) -> bool:
        """Whether what comes from it now may have been sent before the newest withdraw."""
        return self.sent_after < self.withdrawn_at

    @property
    def sought(self) -> bool:
        """Whether it has yet to answer a ping that went since another was dialled at its address, too."""
        return self.displaced or self.sent_after < self.claimed_at

    def late_at(self, now: float) -> float:
        """Return how long what comes from it now may have been under way: a link that is slow is not silent."""
        if not self.unproven:
            return self.late_s
        return max(self.late_s, min(now - self.sent_after, UNMEASURED_S))

    @property
    def receives(self) -> bool:
        """Whether sessions and keys may go where it is dialled: it isn't lost, and nobody else may be there."""
        return self.usable and not self.displaced


FOUND_S = 5.0
"""Who has shown that it is at its address keeps it for so long, whoever else claims it: a member that claims the
addresses of others again and again would keep their sessions from them. By then it must have shown it again.
"""

UNMEASURED_S = 60.0
"""What the first words of a node may have waited at most, hello and all: it heard us all that time, and a cut that
stops one direction only kept it from us. Of a former life of its name that was heard here, the silence since says how
long. Its sessions are taken for as old, so that none that was withdrawn meanwhile looks new; an answer to a ping ends
that."""


class Members:
    """All peers by name. ``generation`` grows whenever something changed that an audience may depend on."""

    def __init__(self, limits: Limits, events: EventLog) -> None:
        self._limits = limits
        self._events = events
        self._peers: dict[str, Peer] = {}
        self._by_address: dict[str, Peer] = {}
        self._forgotten: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._said: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._bytes = 0
        self.generation = 0

    def __iter__(self) -> Iterator[Peer]:
        """In the order of names, whatever order they came in: the same run gives the same messages."""
        return iter(list(self._peers.values()))

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, name: str) -> Peer | None:
        """Return the peer of this name, if there is one."""
        return self._peers.get(name)

    def at(self, address: str) -> Peer | None:
        """Return the peer that this node dials at an address."""
        return self._by_address.get(address)

    def usable(self, colo: str | None = None) -> list[Peer]:
        """Return the peers that aren't lost, of one colo or of all."""
        return [peer for peer in self if peer.usable and colo in (None, peer.colo)]

    def receiving(self, colo: str | None = None) -> list[Peer]:
        """Return the peers to whose addresses sessions and keys may go, of one colo or of all."""
        return [peer for peer in self if peer.receives and colo in (None, peer.colo)]

    @property
    def forgotten(self) -> int:
        """Return how many lives that are gone are remembered."""
        return len(self._forgotten)

    def said_more(self, record: NodeRecord) -> bool:
        """Return whether who isn't a peer any more has said something newer than this, in the same life."""
        incarnation, revision = self.said(record.node)
        return record.incarnation == incarnation and record.revision < revision

    def said(self, node: str) -> tuple[int, int]:
        """Return the life and revision of the newest that a node said as a peer; zeros when that isn't known."""
        return self._said.get(node, (0, 0))

    def full(self) -> bool:
        """Return whether there is no room for another peer."""
        return len(self._peers) >= self._limits.peers_max

    def fits(self, record: NodeRecord) -> bool:
        """Return whether there is memory for a node's record in place of its old one."""
        old = self._peers.get(record.node)
        said, says = weight(old.record) if old else 0, weight(record)
        return says <= max(PEER_BYTES_FAIR, said) or self._bytes - said + says <= PEERS_BYTES_MAX

    def join(self, record: NodeRecord, address: str, now: float) -> Peer:
        """Take a node in, or its new incarnation in place of the old."""
        old = self._peers.get(record.node)
        if old is not None:
            self._vacate(old)
        limits = self._limits
        bucket = Bucket(limits.origin_sessions_per_s, limits.origin_sessions_burst, now)
        peer = Peer(record, address, bucket, heard_at=now, linger_until=now + limits.linger_s)
        peer.late_s = UNMEASURED_S if old is None else min(max(now - old.heard_at, old.late_s), UNMEASURED_S)
        if old is not None:
            peer.flaps = old.flaps + (old.state is not PeerState.ALIVE)
        self._weigh(old.record if old else None, record)
        self._peers[record.node] = peer
        self._dial(peer, now)
        self._peers = dict(sorted(self._peers.items()))
        self.generation += 1
        self._events.add(PeerJoined(now, record.node, record.colo, address, record.incarnation))
        return peer

    def renew(self, peer: Peer, record: NodeRecord) -> None:
        """Note what a peer now says of itself."""
        self._weigh(peer.record, record)
        peer.record = record
        self.generation += 1

    def move(self, peer: Peer, address: str, now: float) -> None:
        """Dial a peer at another address from now on."""
        self._vacate(peer)
        peer.address, peer.reached, peer.displaced, peer.claimed_at = address, True, False, -inf
        self._dial(peer, now)
        self.generation += 1

    def heard(self, peer: Peer, now: float) -> None:
        """Note a sign of life: anything that arrived from a peer.

        What comes after a silence, and all that follows it on the same link, may have waited for as long: for a cut to
        heal, or for us to read. That is so until an answer to a ping shows how long the way takes now.
        """
        silent_s, peer.heard_at = now - peer.heard_at, now
        if silent_s > self._limits.probe_after_s:
            peer.late_s = max(peer.late_s, silent_s)
            peer.ping_at = now
        if peer.state is PeerState.ALIVE:
            return
        if peer.state is PeerState.LOST:
            record = peer.record
            self._contest(peer, now)  # its address may be another's by now
            self._events.add(PeerJoined(now, record.node, record.colo, peer.address, record.incarnation))
        else:
            self._events.add(PeerRecovered(now, peer.name))
        peer.state = PeerState.ALIVE
        peer.flaps += 1
        self.generation += 1

    def found_there(self, peer: Peer, now: float) -> None:
        """Note that a peer has answered a ping: it is at its address."""
        self._by_address[peer.address] = peer
        if peer.displaced:
            peer.displaced, peer.found_at = False, now
            self.generation += 1

    def displace_unfound(self, peer: Peer, now: float) -> None:
        """Let nothing go to a peer any more that hasn't shown in time that it still is at an address that another
        claims.
        """
        if peer.sought and not peer.displaced and now - peer.found_at >= FOUND_S:
            self._displace(peer, now)
            self.generation += 1

    def doubt(self, peer: Peer, now: float) -> None:
        """Suspect a peer that was silent for the suspicion time."""
        peer.state = PeerState.SUSPECT
        self.generation += 1
        self._events.add(PeerSuspect(now, peer.name))

    def lose(self, peer: Peer, now: float) -> None:
        """Call a peer lost: this node goes on without it."""
        peer.state = PeerState.LOST
        self.generation += 1
        self._events.add(PeerLost(now, peer.name))

    def forget(self, peer: Peer, now: float) -> None:
        """Remove a lost peer from the table."""
        self._remove(peer)
        self._bury(peer, now)
        self._events.add(PeerForgotten(now, peer.name))

    def left(self, peer: Peer, now: float) -> None:
        """Remove a peer that said goodbye."""
        self._remove(peer)
        self._bury(peer, now)
        self._events.add(PeerLeft(now, peer.name))

    def part(self, peer: Peer) -> None:
        """Remove a peer whose link neither side needs any more; nothing is wrong with its node."""
        self._remove(peer)

    def buried(self, node: str, incarnation: int, now: float) -> bool:
        """Return whether this incarnation is known to be gone, so that hearsay of it is old."""
        until = self._forgotten.get((node, incarnation))
        return until is not None and until > now

    def exhume(self, node: str, incarnation: int) -> None:
        """Forget that a node was gone: it speaks."""
        self._forgotten.pop((node, incarnation), None)

    def permitted_anew(self) -> None:
        """Let audiences be found again: who may have what has changed, by something that isn't in the records."""
        self.generation += 1

    def _weigh(self, said: NodeRecord | None, says: NodeRecord | None) -> None:
        self._bytes += (weight(says) if says else 0) - (weight(said) if said else 0)

    def _remove(self, peer: Peer) -> None:
        self._weigh(peer.record, None)
        del self._peers[peer.name]
        self._said[peer.name] = max(peer.record.age, self._said.pop(peer.name, (0, 0)))
        if len(self._said) > SAID_MAX:
            self._said.popitem(last=False)
        self._vacate(peer)
        self.generation += 1

    def _dial(self, peer: Peer, now: float) -> None:
        self._contest(peer, now)
        self._by_address[peer.address] = peer

    def _vacate(self, peer: Peer) -> None:
        if self._by_address.get(peer.address) is peer:
            del self._by_address[peer.address]

    def _contest(self, peer: Peer, now: float) -> None:
        """Where others are dialled at a peer's address, have all asked which of them is there; an answer to what was
        asked before says nothing of that. Who was found there a moment ago keeps it until `displace_unfound`.
        """
        if self._by_address.get(peer.address, peer) is peer:
            return
        others = [each for each in self if each is not peer and each.address == peer.address and each.usable]
        for each in (peer, *others) if others else ():
            each.claimed_at = each.ping_at = now
            if now - each.found_at >= FOUND_S:
                self._displace(each, now)

    def _displace(self, peer: Peer, now: float) -> None:
        peer.displaced, peer.ping_at = True, now
        peer.pings = tuple(ping for ping in peer.pings if ping[1] > peer.claimed_at)

    def _bury(self, peer: Peer, now: float) -> None:
        self._forgotten[peer.name, peer.record.incarnation] = now + self._limits.forget_s
        while len(self._forgotten) > FORGOTTEN_MAX:
            self._forgotten.popitem(last=False)
