"""Single use: a session that has resumed here is used up, and whoever may hold a copy is told to forget it.

As far as that goes (`single_use = "best_effort"`): until a peer has been told, it takes the session as well. What is
told costs one message for all that resumed within some milliseconds; nothing of it enters the withdraw table, and what
is remembered of it is bounded and short-lived (`cache.consumed_ids`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.consumed_ids import ConsumedIds
from meshcache.core.holders.audience import Audiences
from meshcache.core.holders.awaiting import Awaiting
from meshcache.core.policy.gates import Terms
from meshcache.core.replication.tiering import Tiering
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.roster import RosterTable
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.state.tls_edge import TlsEdge
from meshcache.core.values.drops import Drop
from meshcache.core.values.session_id import node_of
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.single_use import CONSUMED_IDS_MAX, Consumed

UNTOLD_MAX = 8192
"""Ids that wait until their peers have shown where they are, each of them once for each peer: at 300/s what is used up
until a peer is lost, and 256 kB. What is more is told to those who receive, to no one later, and counted."""

_NEVER = float("inf")


@dataclass(slots=True)
class _Waiting:
    """Ids to be told of, of sessions that were made under the same terms."""

    terms: Terms
    ids: list[bytes] = field(default_factory=list, repr=False)


@dataclass(slots=True)
class _Untold:
    """Ids that a peer is to be told once it is certain that it is at its address, all in one way."""

    peer: Peer
    ids: list[bytes] = field(default_factory=list, repr=False)


class Consuming:
    """Tells peers what was used up here, and forgets what they tell. ``due_at`` is when it wants to tell."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        cache: SessionCache,
        vips: ServedVips,
        members: Members,
        roster: RosterTable,
        outbox: Outbox,
        audiences: Audiences,
        awaiting: Awaiting,
        tiering: Tiering,
        ids: ConsumedIds,
        edge: TlsEdge,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._cache = cache
        self._vips = vips
        self._members = members
        self._roster = roster
        self._outbox = outbox
        self._audiences = audiences
        self._awaiting = awaiting
        self._tiering = tiering
        self.ids = ids
        """What was used up of late, here or elsewhere."""
        self._waiting: dict[int, _Waiting] = {}  # by `id(terms)`, which the entry keeps alive
        self._untold: dict[tuple[str, str, bool, str], _Untold] = {}
        """By peer and what else a message says. They go with their peer."""
        self._looked_at = -1  # the generation of members with which that was looked through last
        self._told_at = -_NEVER
        self.due_at = _NEVER
        self._edge = edge

    def consumed(self, vip: str, session_id: bytes, now: float) -> None:
        """Note that a handshake here has resumed with a session: forget it, and have its other holders forget it."""
        served = self._vips.get(vip)
        if served is None:
            return
        group = served.vip.terms.group
        known = self.ids.used_here(group, session_id)
        served.counters.consumed_twice += known is not None
        self.ids.add(group, session_id, now, here=vip)
        terms, _ = self._remove(served, session_id) or (served.vip.terms, vip)
        if not known:  # also after another node has told of it, which is to know that both have used it
            served.counters.consumed += 1
            self._queue(terms, session_id, now)

    def received(self, peer: Peer, told: Consumed, now: float) -> None:
        """Forget what was used up elsewhere, if the one who tells it may have had it; pass it on if asked to."""
        if not peer.origin_bucket.take(len(told.ids), now):
            self._telemetry.drop(Drop.ORIGIN_QUOTA, len(told.ids))
            return
        groups = [served for served in self._vips if served.vip.terms.group == told.group]
        if not groups or not _serves(peer.record, told.group):
            self._telemetry.drop(Drop.CONSUMED_REFUSED, len(told.ids))
            return
        tellers = [peer.record]
        if told.teller:  # a relay passes it on: its own right to a session is not that of who told it
            teller = self._record_of(told.teller)
            if teller is None or peer.colo != self._local.identity.colo or not _serves(teller, told.group):
                self._telemetry.drop(Drop.CONSUMED_REFUSED, len(told.ids))
                return
            tellers.append(teller)
        allowed: dict[int, bool] = {}
        ids = tuple(each for each in told.ids if self._forget(tellers, groups[0], each, allowed, now))
        if told.relay and ids and peer.colo != self._local.identity.colo:
            inside = self._members.usable(self._local.identity.colo)
            others = [other for other in inside if other is not peer and _serves(other.record, told.group)]
            self._send(others, Consumed(told.group, ids, teller=peer.name))

    def flush(self, now: float) -> None:
        """Queue messages for what is due to be told."""
        if self._untold and self._looked_at != self._members.generation:
            self._tell_found()
        if now < self.due_at:
            return
        for waiting in self._waiting.values():
            self._tell(waiting)
        self._waiting.clear()
        self._told_at, self.due_at = now, _NEVER

    def flush_all(self, now: float) -> None:
        """Queue messages for all there is to be told: this life ends."""
        self.due_at = min(self.due_at, now)
        self.flush(now)

    def _queue(self, terms: Terms, session_id: bytes, now: float) -> None:
        waiting = self._waiting.setdefault(id(terms), _Waiting(terms))
        waiting.ids.append(session_id)
        if len(waiting.ids) >= CONSUMED_IDS_MAX:
            self._tell(self._waiting.pop(id(terms)))
        self.due_at = min(self.due_at, max(now, self._told_at + self._local.limits.collect_s))

    def _tell(self, waiting: _Waiting) -> None:
        terms, ids, audiences = waiting.terms, tuple(waiting.ids), self._audiences
        later = audiences.displaced(terms)
        self._send([*audiences.of_own(terms).inside, *later.inside], Consumed(terms.group, ids))
        self._send([*audiences.relays_to_tell(terms), *later.relays], Consumed(terms.group, ids, relay=True))

    def _send(self, peers: list[Peer], told: Consumed) -> None:
        """Tell those that receive, and keep it for those at whose address another may be: it is told once."""
        self._outbox.send_all([peer.address for peer in peers if peer.receives], told)
        for peer in (each for each in peers if not each.receives):
            room = UNTOLD_MAX - sum(len(untold.ids) for untold in self._untold.values())
            key = peer.name, told.group, told.relay, told.teller
            untold = self._untold.get(key)
            if untold is None or untold.peer is not peer:
                untold = self._untold[key] = _Untold(peer)
            untold.ids += told.ids[:room]
            if room < len(told.ids):
                self._telemetry.drop(Drop.CONSUMED_UNTOLD, len(told.ids) - room)

    def _tell_found(self) -> None:
        self._looked_at = self._members.generation
        for key, (peer, ids) in [(key, (untold.peer, untold.ids)) for key, untold in self._untold.items()]:
            here = self._members.get(peer.name) is peer and peer.usable
            if here and not peer.receives:
                continue
            del self._untold[key]
            _, group, relay, teller = key
            for at in range(0, len(ids) if here else 0, CONSUMED_IDS_MAX):
                told = Consumed(group, tuple(ids[at : at + CONSUMED_IDS_MAX]), relay, teller)
                self._outbox.send_all([peer.address], told)

    def _forget(
        self, tellers: list[NodeRecord], served: ServedVip, session_id: bytes, allowed: dict[int, bool], now: float
    ) -> bool:
        """Forget one, unless one of those who tell can't have had it by the terms that it was made under. Return
        whether it was forgotten.
        """
        group = served.vip.terms.group
        terms = self._terms_of(served, session_id)
        likely = [terms] if terms is not None else self._terms_by_maker(session_id, group) if self._tiering.on else []
        if likely and not any(self._all_may_have(tellers, each, allowed) for each in likely):
            self._telemetry.drop(Drop.CONSUMED_REFUSED)
            return False
        used_here = self._vips.get(self.ids.used_here(group, session_id) or "")
        if used_here is not None:
            used_here.counters.consumed_twice += 1
        self.ids.add(group, session_id, now, here="")
        removed = self._remove(served, session_id)
        home = None if removed is None else self._vips.get(removed[1])
        if home is not None:
            home.counters.consumed_elsewhere += 1
        if self._awaiting:
            self._awaiting.note(session_id)
        return True

    def _all_may_have(self, tellers: list[NodeRecord], terms: Terms, allowed: dict[int, bool]) -> bool:
        may = allowed.get(id(terms))
        if may is None:
            may = allowed[id(terms)] = all(self._may_have(record, terms) for record in tellers)
        return may

    def _terms_by_maker(self, session_id: bytes, group: str) -> list[Terms]:
        """Return the terms under which a session that isn't in memory, but perhaps in a tier, may have been made: those
        of whoever its id names. None where nobody knows that one. To read an id takes 6 us, so it isn't done in vain.
        """
        claim = self._edge.claim_of(session_id)
        if claim is None:
            return []
        makers = [peer.record for peer in self._awaiting.origins(claim)]
        makers += [self._vips.record] if claim.node == node_of(self._local.identity.node) else []
        return [terms for record in makers for terms in record.vips if terms.group == group]

    def _record_of(self, node: str) -> NodeRecord | None:
        """Return what a node says of itself: most of another colo's aren't linked here, and known by hearsay."""
        peer = self._members.get(node)
        return self._roster.find(node) if peer is None else peer.record

    def _may_have(self, record: NodeRecord, terms: Terms) -> bool:
        return terms.node == record.node or self._vips.send(terms, record)

    def _terms_of(self, served: ServedVip, session_id: bytes) -> Terms | None:
        found = self._found(served, session_id)
        return None if found is None else found[0]

    def _found(self, served: ServedVip, session_id: bytes) -> tuple[Terms, str] | None:
        """Return the terms that a session in memory was made under, and the VIP under which it is filed."""
        for vip in served.filed_under:
            session = self._cache.peek(vip, session_id)
            stream = None if session is None else self._cache.streams.get(session.stream)
            if stream is not None:
                return stream.terms, vip
        return None

    def _remove(self, served: ServedVip, session_id: bytes) -> tuple[Terms, str] | None:
        """Take a session out of memory and tiers. Return what `_found` does, if it was in memory."""
        found = self._found(served, session_id)
        self._tiering.forget(served, session_id)
        if found is not None:
            self._cache.remove(found[1], session_id)
        return found


def _serves(record: NodeRecord, group: str) -> bool:
    return any(terms.group == group for terms in record.vips)
