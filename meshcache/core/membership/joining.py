"""Lets nodes in: sends hellos to addresses and peers, judges those that come, and turns away who doesn't belong.

Knows who everyone is; whether they still live is `liveness`'s, whom to link to is `links`'s.
"""

from __future__ import annotations

from meshcache.core.membership.candidates import Candidates
from meshcache.core.state.members import Peer, PeerState
from meshcache.core.state.node_state import NodeState
from meshcache.core.state.outlet import Outlet
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import IslandFound, IslandGone, PeerRefused
from meshcache.core.values.topology import PROTOCOL_MAJOR, NodeRecord
from meshcache.core.wire.messages import Hello, Refuse

_REFUSED_MAX = 256
"""Refusals that were reported already, each once."""

_HELLO_PAUSE_S_MAX = 1.0
"""Between hellos to a peer that lives and doesn't have our latest terms."""


_OWN_ADDRESSES_MAX = 64
"""A host has a handful, and loopback."""


class Joining:
    """The outlet is told of each peer that joined and of each record that is new or newer."""

    def __init__(self, state: NodeState, outlet: Outlet) -> None:
        self._state = state
        self._outlet = outlet
        self._refused: dict[tuple[str, str], None] = {}
        self._uninformed: dict[str, None] = {}  # peers that don't know our latest terms, or don't say so yet
        self.candidates = Candidates(state.limits)
        self.joining = True

    def tick(self, now: float) -> None:
        """Send the hellos that are due."""
        if len(self._uninformed) > len(self._state.members):
            self._uninformed = {name: None for name in self._uninformed if self._state.members.get(name) is not None}
        if self.candidates.next_due() <= now:  # draw a random number (a system call) only when something is due
            for address in self.candidates.due(now, self._state.rng.random()):
                self._state.outbox.send(address, self._hello(dialled=address))
        for peer in self._waiting():
            if peer.hello_at <= now:
                self.greet(peer, now)

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        hellos = min((peer.hello_at for peer in self._waiting()), default=float("inf"))
        return min(self.candidates.next_due(), hellos)

    def greet(self, peer: Peer, now: float, answers: str = "") -> None:
        """Send a peer our hello; more follow, ever slower, until it is seen to know our terms."""
        limits = self._state.limits
        peer.hello_pause_s = min(max(peer.hello_pause_s * 2, limits.hello_s), _HELLO_PAUSE_S_MAX)
        peer.hello_at = now + peer.hello_pause_s
        # Of a peer that is silent nothing is known for sure: it may be another life of it, with the same revision.
        knows = peer.record.revision if peer.state is PeerState.ALIVE else 0
        self._state.send(peer, self._hello(peer.address, answers, knows, self._outlet.wants_link(peer)))

    def knows(self, peer: Peer, revision: int) -> None:
        """Note which revision of this node's record a peer has."""
        if peer.knows != revision:
            peer.knows = revision
            peer.hello_pause_s = 0.0
        if revision == self._state.vips.record.revision:
            self._uninformed.pop(peer.name, None)

    def hello(self, hello: Hello, now: float) -> None:
        """Judge a hello: take its sender in as a peer, note what a peer says anew, or turn the sender away."""
        reason = self._objection(hello)
        if reason is not None:
            self._turn_away(hello, reason, now)
            return
        peer = self._state.members.get(hello.record.node)
        if peer is None or peer.record.incarnation < hello.record.incarnation:
            self._let_in(hello, peer, now)
            return
        if hello.record.age > peer.record.age:
            if not self._bearable(hello.record, peer, now):
                return
            self._recall_unsent(peer, hello)
            self._state.members.renew(peer, hello.record)
            self._learn(peer, now)
        self._take_note(peer, hello, now)

    def revised(self, now: float) -> None:
        """Tell every peer at once that this node's terms have changed, and find islands anew."""
        for peer in self._state.members:
            peer.hello_at, peer.hello_pause_s = now, 0.0
            self._uninformed[peer.name] = None
            self._look_for_islands(peer, now)

    def _waiting(self) -> list[Peer]:
        if not self._uninformed:
            return []
        peers = (self._state.members.get(name) for name in self._uninformed)
        return [peer for peer in peers if peer is not None and peer.usable]

    def _objection(self, hello: Hello) -> Drop | None:
        state, record = self._state, hello.record
        if hello.mesh != state.identity.mesh:
            return Drop.OTHER_MESH
        if not hello.majors[0] <= PROTOCOL_MAJOR <= hello.majors[1]:
            return Drop.OTHER_VERSION
        if record.node == state.identity.node:
            return Drop.OURSELVES if record.incarnation == state.identity.incarnation else Drop.NAME_TAKEN
        known = state.members.get(record.node)
        if known is not None and known.record.incarnation > record.incarnation:
            return Drop.OLD_INCARNATION
        if known is not None and known.record.incarnation == record.incarnation and known.colo != record.colo:
            return Drop.COLO_CHANGED
        return None

    def _turn_away(self, hello: Hello, reason: Drop, now: float) -> None:
        self._state.drop(reason)
        if reason == Drop.OURSELVES:
            self.candidates.ourselves(hello.dialled)
            if len(self._state.own_addresses) < _OWN_ADDRESSES_MAX:
                self._state.own_addresses.add(hello.dialled)
            return
        if reason in (Drop.OTHER_MESH, Drop.OTHER_VERSION) and hello.record.address in self.candidates:
            self._state.outbox.send(hello.record.address, Refuse(reason))
        self.refused(hello.record.node, hello.record.address, reason, now)

    def refused(self, node: str, address: str, reason: str, now: float) -> None:
        """Report a refusal, once for each node and reason."""
        if (node, reason) in self._refused or len(self._refused) >= _REFUSED_MAX or reason == Drop.OLD_INCARNATION:
            return
        self._refused[node, reason] = None
        self._state.events.add(PeerRefused(now, node, address, reason))

    def _let_in(self, hello: Hello, old: Peer | None, now: float) -> None:
        members = self._state.members
        if old is None and members.full():
            self._state.drop(Drop.PEERS_FULL)
            return
        record = hello.record
        if not self._bearable(record, old, now):
            return
        if old is not None:
            self._recall_unsent(old, hello)
        proven = hello.answers if hello.answers in self.candidates else record.address
        peer = members.join(record, proven, now)
        members.exhume(record.node, record.incarnation)
        self._uninformed[peer.name] = None
        self._learn(peer, now)
        self._take_note(peer, hello, now)  # answers with our hello, which has to be the first that it hears of us
        self._outlet.peer_joined(peer, now)

    def _bearable(self, record: NodeRecord, old: Peer | None, now: float) -> bool:
        """Return whether there is memory for a record. If not, part with its node, whose old record no longer holds."""
        if self._state.members.fits(record):
            return True
        self._state.drop(Drop.TOO_HEAVY)
        self.refused(record.node, record.address, Drop.TOO_HEAVY, now)
        if old is not None:
            self._state.members.part(old)
            self._state.outbox.drop(old.address)
        return False

    def _recall_unsent(self, peer: Peer, hello: Hello) -> None:
        """Drop what waits to be sent: it was judged by terms that are older than these, and these may be stricter."""
        if hello.record.vips != peer.record.vips:
            self._state.outbox.recall()

    def _take_note(self, peer: Peer, hello: Hello, now: float) -> None:
        if hello.answers:
            self.candidates.answered(hello.answers, peer.name)
            if hello.answers == peer.record.address != peer.address:
                self._state.members.move(peer, hello.answers)
        self.candidates.answered(peer.record.address, peer.name)
        peer.joining, peer.chosen = hello.joining, hello.chosen
        self.knows(peer, hello.knows)
        if hello.knows != self._state.vips.record.revision:
            self.greet(peer, now, hello.dialled)

    def _learn(self, peer: Peer, now: float) -> None:
        self._outlet.record_heard(peer.record, now)
        self._look_for_islands(peer, now)

    def _look_for_islands(self, peer: Peer, now: float) -> None:
        found = self._state.vips.islands(peer.record)
        for group in sorted(found - peer.islands):
            self._state.events.add(IslandFound(now, peer.name, group))
        for group in sorted(peer.islands - found):
            self._state.events.add(IslandGone(now, peer.name, group))
        peer.islands = found

    def _hello(self, dialled: str = "", answers: str = "", knows: int = 0, chosen: bool = True) -> Hello:
        state = self._state
        return Hello(state.identity.mesh, state.vips.record, dialled, answers, knows, chosen, self.joining)
