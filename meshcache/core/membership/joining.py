"""Lets nodes in: sends hellos to addresses and peers, judges those that come, and turns away who doesn't belong.

Knows who everyone is; whether they still live is `liveness`'s, whom to link to is `links`'s.
"""

from __future__ import annotations

from dataclasses import replace

from meshcache.core.cache.streams import StreamTable
from meshcache.core.membership.candidates import Candidates
from meshcache.core.membership.remembered_addresses import RememberedAddresses
from meshcache.core.policy.digest_parts import with_values
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.outlet import Outlet
from meshcache.core.state.refusals import Anomaly
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import IslandFound, IslandGone, NameContested
from meshcache.core.values.topology import PROTOCOL_MAJOR, NodeRecord
from meshcache.core.wire.fields import FieldError, address
from meshcache.core.wire.messages import Hello, Refuse

_CONTEST_S = 1.5
"""A name is its holder's while that is heard; who claims it waits so long for the holder's silence."""

_CONTEST_OVER_S = 30.0
"""A claim that wasn't repeated for so long is over; the next one is another."""

_TOLD_OLD_S = 0.5
"""Between two times that one name is told that it speaks as an earlier life."""

_HELLO_PAUSE_S_MAX = 1.0
"""Between hellos to a peer that lives and doesn't have our latest terms."""


_OWN_ADDRESSES_MAX = 64
"""A host has a handful, and loopback."""


class Joining:
    """Greets nodes and judges their hellos: who is let in becomes a peer, who doesn't belong is told why.

    The outlet is told of each peer that joined and of each record that is new or newer.
    """

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        streams: StreamTable,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        outlet: Outlet,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._streams = streams
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._outlet = outlet
        self._own_addresses: set[str] = set()  # where this node was reached by itself
        self._uninformed: dict[str, None] = {}  # peers that don't know our latest terms, or don't say so yet
        self.candidates = Candidates(local.limits)
        self.remembered_addresses = RememberedAddresses(self.candidates)
        self.joining = True
        """Whether this node catches up still, and so is no source for others who do."""

    def say_joining(self, joining: bool) -> None:
        """Say in hellos and heartbeats from now on whether this node catches up: `repair.snapshot` knows."""
        self.joining = joining

    def tick(self, now: float) -> None:
        """Send the hellos that are due."""
        if len(self._uninformed) > len(self._members):
            self._uninformed = {name: None for name in self._uninformed if self._members.get(name) is not None}
        if self.remembered_addresses.next_due() <= now:
            self.remembered_addresses.tick(now, self._local.rng.random())
        if self.candidates.next_due() <= now:  # draw a random number (a system call) only when something is due
            for address in self.candidates.due(now, self._local.rng.random()):
                self._outbox.send(address, self._hello(dialled=address))
        for peer in self._waiting():
            if peer.hello_at <= now:
                self.greet(peer, now)

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        hellos = min((peer.hello_at for peer in self._waiting()), default=float("inf"))
        return min(self.candidates.next_due(), self.remembered_addresses.next_due(), hellos)

    def greet(self, peer: Peer, now: float, answers: str = "") -> None:
        """Send a peer our hello; more follow, ever slower, until it is seen to know our terms."""
        limits = self._local.limits
        peer.hello_pause_s = min(max(peer.hello_pause_s * 2, limits.hello_s), _HELLO_PAUSE_S_MAX)
        peer.hello_at = now + peer.hello_pause_s
        # Of a peer that is silent nothing is known for sure: it may be another life of it, with the same revision.
        knows = peer.record.revision if peer.state is PeerState.ALIVE else 0
        life = peer.record.incarnation if knows else 0
        self._outbox.send(peer.address, self._hello(peer.address, answers, knows, self._outlet.wants_link(peer), life))

    def knows(self, peer: Peer, revision: int) -> None:
        """Note which revision of this node's record a peer has."""
        if peer.knows != revision:
            peer.knows = revision
            peer.hello_pause_s = 0.0
        own = self._vips.record.revision
        if revision == own:
            self._uninformed.pop(peer.name, None)
        elif revision > own:
            self._uninformed[peer.name] = None  # of an earlier life of ours, or it was told what we never said

    def heard_of_us(self, record: NodeRecord, now: float) -> None:
        """Somebody tells what this node is said to be: if it never said so, it goes on as a later life and says so."""
        own = self._vips.record
        if record.incarnation > own.incarnation or (record.age > own.age and record.incarnation == own.incarnation):
            self._never_said(record.incarnation, record.address, now)

    def old_life(self, peer: Peer, now: float) -> None:
        """Tell a peer that what it said as an earlier life of its name isn't heard."""
        self._telemetry.refusals.note(peer.name, peer.address, Drop.OLD_INCARNATION, now, patience_s=2.0)
        self._tell_old(peer, peer.address, now)

    def tell_life(self, address: str, life: int, now: float) -> None:
        """Tell who is at an address that a later life of its name is known here, so that it outbids that."""
        self._answer(address, Refuse(Drop.OLD_INCARNATION, life), now)

    def refused_by(self, sender: str, refuse: Refuse, now: float) -> None:
        """A peer turned us away: say so, and outbid what it knows of a life of ours that never was or was earlier."""
        self._telemetry.drop(Drop.REFUSED_BY_PEER)
        self._telemetry.refusals.note_by_peer(sender, refuse.address, refuse.reason, now)
        if refuse.reason == Drop.OLD_INCARNATION:
            self._outlet.name_outbid(refuse.incarnation, f"{sender} knows of a later one", now)
        elif refuse.reason == Drop.NAME_TAKEN and refuse.incarnation == self._local.identity.incarnation:
            why = f"{sender} knows the same life at another address ({refuse.address})"
            self._outlet.name_outbid(refuse.incarnation, why, now)

    def hello(self, hello: Hello, now: float) -> None:
        """Judge a hello; its sender becomes a peer, or is one and says something new, or is turned away."""
        reason = self._objection(hello, now)
        if reason is not None:
            self._turn_away(hello, reason, now)
            return
        peer = self._members.get(hello.record.node)
        if peer is None or peer.record.incarnation < hello.record.incarnation:
            self._let_in(hello, peer, now)
            return
        if hello.record.age > peer.record.age:
            if not self._bearable(hello.record, peer, now):
                return
            self._tell_of_new_terms(peer, hello)
            self._members.renew(peer, hello.record)
            self._learn(peer, now)
        elif hello.record.age < peer.record.age:
            self.greet(peer, now)  # which says what we know: if it never said that, it will say so
        self._take_note(peer, hello, now)

    def revised(self, now: float) -> None:
        """Tell every peer at once that this node's terms have changed, and find islands anew."""
        for peer in self._members:
            peer.hello_at, peer.hello_pause_s = now, 0.0
            self._uninformed[peer.name] = None
            self._look_for_islands(peer, now)

    def is_ourselves(self, peer: Peer) -> bool:
        """Return whether a peer's address leads to this node, as 127.0.0.1 does; its own connection alone reaches it.

        A claim of that kind is never the end of a link: it counts while that connection is there.
        """
        return peer.address in self._own_addresses and peer.usable and bool(peer.way_back[1])

    def hinted(self, where: str, source: str, now: float) -> None:
        """Take a hint where a member may listen; peers that are linked already need none."""
        if not self._may_dial(where) or (source != "seed" and self._members.at(where) is not None):
            return
        if not self.candidates.hint(where, source, now):
            self._telemetry.drop(Drop.CANDIDATES_FULL)

    def remembered(self, where: str, heard_at: float, now: float) -> None:
        """Try an address that an earlier life of this node knew, now and then for a day."""
        if self._may_dial(where) and self._members.at(where) is None:
            self.remembered_addresses.remember(where, heard_at, now)

    def places(self) -> dict[str, float]:
        """Return where peers listen or listened, with the time at which somebody was last heard there."""
        here = (peer for peer in self._members if not self.is_ourselves(peer))
        return self.remembered_addresses.heard_at() | {peer.address: peer.heard_at for peer in here}

    def _may_dial(self, where: str) -> bool:
        try:
            address(where)
        except FieldError:
            self._telemetry.drop(Drop.BAD_ADDRESS)
            return False
        return where != self._local.identity.address

    def _waiting(self) -> list[Peer]:
        if not self._uninformed:
            return []
        peers = (self._members.get(name) for name in self._uninformed)
        return [peer for peer in peers if peer is not None and peer.usable]

    def _objection(self, hello: Hello, now: float) -> Drop | None:
        own, record = self._local.identity, hello.record
        if hello.mesh != own.mesh:
            return Drop.OTHER_MESH
        if not hello.majors[0] <= PROTOCOL_MAJOR <= hello.majors[1]:
            return Drop.OTHER_VERSION
        if record.node == own.node:
            same = (record.incarnation, record.address) == (own.incarnation, own.address)
            return Drop.OURSELVES if same else Drop.NAME_TAKEN
        known = self._members.get(record.node)
        if known is None:
            if record.incarnation < self._latest_life(record.node):
                return Drop.OLD_INCARNATION
            return Drop.OLD_TERMS if self._members.said_more(record) else None
        if record.incarnation == known.record.incarnation:
            copied = record.address != known.record.address and record.age <= known.record.age
            if known.colo != record.colo or not copied:
                return Drop.COLO_CHANGED if known.colo != record.colo else None
            return Drop.NAME_TAKEN if self._is_held(known, now) else Drop.OLD_INCARNATION
        if record.address != known.record.address and self._is_held(known, now):
            return Drop.NAME_TAKEN
        return Drop.OLD_INCARNATION if record.incarnation < known.record.incarnation else None

    def _latest_life(self, node: str) -> int:
        """Return the latest life of a node that was a peer or has sessions here: what it says must be of no earlier."""
        here = (max(s.key.incarnation, s.age[0]) for s in self._streams if s.key.origin == node)
        return max(self._members.said(node)[0], *here, 0)

    def _is_held(self, holder: Peer, now: float) -> bool:
        """Return whether the holder of a name that another address claims is heard.
        It is asked, and has a moment for that.
        """
        if holder.state is not PeerState.ALIVE:
            return False
        if holder.contested_at is None or now - holder.contested_at > _CONTEST_OVER_S:
            holder.contested_at = now
        self._outlet.name_contested(holder, now)
        return holder.heard_at > holder.contested_at or now - holder.contested_at < _CONTEST_S

    def _turn_away(self, hello: Hello, reason: Drop, now: float) -> None:
        record = hello.record
        self._telemetry.drop(reason)
        if reason == Drop.OURSELVES:
            self.candidates.ourselves(hello.dialled)
            self.remembered_addresses.answered(hello.dialled)
            if len(self._own_addresses) < _OWN_ADDRESSES_MAX:
                self._own_addresses.add(hello.dialled)
        elif reason == Drop.NAME_TAKEN:
            self._contest(record, now)
        elif reason == Drop.OLD_INCARNATION:
            known = self._members.get(record.node)
            self._telemetry.refusals.note(record.node, record.address, reason, now)
            if known is not None:
                self._tell_old(known, record.address, now)
            else:
                self._answer(record.address, Refuse(reason, self._latest_life(record.node)), now)
        elif reason == Drop.OLD_TERMS:  # what it says now is on its way; if it never said more, it will say so
            _, knows = self._members.said(record.node)
            self._answer(record.address, self._hello("", "", knows, False, record.incarnation), now)
        else:
            if reason in (Drop.OTHER_MESH, Drop.OTHER_VERSION) and record.address in self.candidates:
                self._outbox.send(record.address, Refuse(reason))
            self._telemetry.refusals.note(record.node, record.address, reason, now)

    def _contest(self, record: NodeRecord, now: float) -> None:
        """Two say that they are one node: whoever is heard keeps the name, and both addresses are said aloud.

        If they say that they are the same life, what either says is heard as the holder's: the claimant is to become
        another one, or it would keep the name for a holder that is gone, and be bound to that one's terms.
        """
        own, holder = self._local.identity, self._members.get(record.node)
        life = holder.record.incarnation if holder is not None else 0
        if record.node == own.node:
            held_at = own.address
            if record.incarnation == own.incarnation or record.address == own.address:
                self.heard_of_us(replace(record, revision=self._vips.record.revision + 1), now)
        elif holder is None or (holder.contested_at is not None and holder.heard_at <= holder.contested_at):
            return  # it isn't known yet whether the holder lives
        else:
            held_at = holder.address
        if self._telemetry.refusals.note(record.node, record.address, Drop.NAME_TAKEN, now):
            self._telemetry.events.add(NameContested(now, record.node, held_at, record.address))
        if record.address != held_at:
            same = life if life == record.incarnation else 0
            self._answer(record.address, Refuse(Drop.NAME_TAKEN, same, held_at), now)

    def _tell_old(self, known: Peer, address: str, now: float) -> None:
        if now - (known.told_old_at or -_TOLD_OLD_S) >= _TOLD_OLD_S:
            known.told_old_at = now
            self._answer(address, Refuse(Drop.OLD_INCARNATION, known.record.incarnation), now)

    def _answer(self, address: str, answer: Refuse | Hello, now: float) -> None:
        """Send an answer to an address, which is dialled if need be: who is there asks again, and has it then."""
        if self._members.at(address) is None:
            self.candidates.hint(address, "refused", now)
            self.candidates.reopen(address, now)
        self._outbox.send(address, answer)

    def _never_said(self, incarnation: int, address: str, now: float) -> None:
        self._telemetry.refusals.note(self._local.identity.node, address, Anomaly.FORGED_NAME, now)
        self._outlet.name_outbid(incarnation, f"it never said what is said in its name (address {address})", now)

    def _let_in(self, hello: Hello, old: Peer | None, now: float) -> None:
        members = self._members
        if old is None and members.full():
            self._telemetry.drop(Drop.PEERS_FULL)
            self._telemetry.refusals.note(hello.record.node, hello.record.address, Drop.PEERS_FULL, now)
            return
        record = hello.record
        if not self._bearable(record, old, now):
            return
        proven = hello.answers if hello.answers in self.candidates else record.address
        if old is not None:
            self._tell_of_new_terms(old, hello)
            if old.address != proven:  # a machine that took the name may go again, and then nobody would know the other
                self.remembered_addresses.remember(old.address, old.heard_at, now)
        there = self._make_room(record.node, proven)
        peer = members.join(record, proven, now)
        members.exhume(record.node, record.incarnation)
        self._uninformed[peer.name] = None
        self._learn(peer, now)
        self._take_note(peer, hello, now)  # answers with our hello, which has to be the first that it hears of us
        self._outlet.peer_joined(peer, now)
        if there is not None:
            self._outlet.name_contested(there, now)

    def _bearable(self, record: NodeRecord, old: Peer | None, now: float) -> bool:
        """Return whether there is memory for a record. If not, part with its node, whose old record no longer holds."""
        if self._members.fits(record):
            return True
        self._telemetry.drop(Drop.TOO_HEAVY)
        self._telemetry.refusals.note(record.node, record.address, Drop.TOO_HEAVY, now)
        if old is not None:
            self._members.part(old)
            self._outbox.drop(old.address)
        return False

    def _tell_of_new_terms(self, peer: Peer, hello: Hello) -> None:
        """Have what waits to be sent taken back, if a peer has other terms now: they may be stricter."""
        if hello.record.vips != peer.record.vips:
            self._outlet.terms_replaced()

    def _take_note(self, peer: Peer, hello: Hello, now: float) -> None:
        if hello.answers:
            self._answered(peer, hello.answers, now)
        self.candidates.answered(peer.record.address, peer.name)
        self.remembered_addresses.answered(peer.record.address)
        self.remembered_addresses.answered(peer.address)
        peer.joining, peer.chosen = hello.joining, hello.chosen
        own = self._vips.record
        if hello.incarnation == own.incarnation and hello.knows > own.revision:
            self._never_said(own.incarnation, peer.address, now)
        self.knows(peer, hello.knows)
        if hello.knows != self._vips.record.revision:
            self.greet(peer, now, hello.dialled)

    def _answered(self, peer: Peer, address: str, now: float) -> None:
        """Note that a peer answers at an address. It is dialled there from now on if that is what it tells, or as long
        as it was reached nowhere: what it tells may lead into another of its networks.
        """
        tried = address in self.candidates
        self.candidates.answered(address, peer.name)
        self.remembered_addresses.answered(address)
        if address == peer.address:
            peer.reached = True
        elif address == peer.record.address or (tried and not peer.reached):
            self._make_room(peer.name, address)
            self._members.move(peer, address, now)

    def _make_room(self, node: str, address: str) -> Peer | None:
        """Take back what waits for another peer at an address where a node is about to be dialled; return that peer."""
        there = self._members.at(address)
        if there is None or there.name == node:
            return None
        self._outlet.terms_replaced()
        return there

    def _learn(self, peer: Peer, now: float) -> None:
        self._outlet.record_heard(peer.record, now)
        self._look_for_islands(peer, now)

    def _look_for_islands(self, peer: Peer, now: float) -> None:
        found = self._vips.islands(peer.record)
        for group in sorted(found - peer.islands):
            mine, theirs = self._vips.island_parts(peer.record, group)
            differs = ", ".join(with_values(mine, theirs)) if mine and theirs else ""
            self._telemetry.events.add(IslandFound(now, peer.name, group, differs))
        for group in sorted(peer.islands - found):
            self._telemetry.events.add(IslandGone(now, peer.name, group))
        peer.islands = found

    def _hello(self, dialled: str = "", answers: str = "", knows: int = 0, chosen: bool = True, life: int = 0) -> Hello:
        mesh, record = self._local.identity.mesh, self._vips.record
        return Hello(mesh, record, dialled, answers, knows, chosen, self.joining, life)
