"""Chooses whom to be linked to: everybody in the own colo, and in each other colo the relays for what may go there.

From hearsay it chooses whom to dial; which of the linked ones a batch goes to is judged by their own hellos.
"""

from __future__ import annotations

from meshcache.core.membership.candidates import Candidates
from meshcache.core.policy.gates import Terms
from meshcache.core.policy.ring_id import may_share
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.roster import RosterTable
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.values.topology import NodeRecord, best, rank

RELAYS_LINKED = 2
"""Links to each colo that gets our sessions: the relay, and the next best, which is there when the first is gone."""

_CHOOSE_S = 0.5
"""Between two choices: at a start, hellos come by the dozen."""


class Links:
    """The peers that this node wants a link to, by colo and VIP. `tick` chooses again when a table has changed."""

    def __init__(
        self,
        local: LocalNode,
        vips: ServedVips,
        members: Members,
        roster: RosterTable,
        candidates: Candidates,
        now: float,
    ) -> None:
        self._local = local
        self._vips = vips
        self._members = members
        self._roster = roster
        self._candidates = candidates
        self._wanted: frozenset[str] = frozenset()
        self._chosen_for: tuple[int, ...] = ()
        self._choose_at = now

    @property
    def wanted(self) -> frozenset[str]:
        """Return the names of the nodes in other colos that this one wants a link to."""
        return self._wanted

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        return self._choose_at if self._stamp() != self._chosen_for else float("inf")

    def tick(self, now: float) -> None:
        """Choose again if something changed, and dial those who are chosen and not linked."""
        stamp = self._stamp()
        if stamp == self._chosen_for or now < self._choose_at:
            return
        self._chosen_for, self._choose_at = stamp, now + _CHOOSE_S
        wanted = [record for colo in self._roster.colos() for record in self._of_colo(colo)]
        self._wanted = frozenset(record.node for record in wanted)
        missing = [record for record in wanted if self._members.get(record.node) is None]
        self._candidates.want({r.address: r.node for r in missing if not self._buried(r, now)}, now)

    def wants(self, peer: Peer, now: float) -> bool:
        """Return whether this node wants a link to a peer; for a while after its hello it wants everyone."""
        return peer.colo == self._local.identity.colo or peer.name in self._wanted or now < peer.linger_until

    def relay(self, source: Terms, colo: str, peers: list[Peer]) -> Peer | None:
        """Return the peer in `colo` that gets what is made here under `source`, to spread it there, if any may."""
        permitted = [peer for peer in peers if peer.colo == colo and self._vips.send(source, peer.record)]
        alive = [peer for peer in permitted if peer.state is PeerState.ALIVE] or permitted
        name = best(self._duty(colo), [peer.name for peer in alive])
        return None if name is None else self._members.get(name)

    def _stamp(self) -> tuple[int, ...]:
        record = self._vips.record
        return self._members.generation, self._roster.generation, record.revision, self._candidates.generation

    def _of_colo(self, colo: str) -> list[NodeRecord]:
        records = {record.node: self._newest(record) for record in self._roster.records(colo)}
        permitted = [node for node, record in records.items() if self._any_may_go(record)]
        if not permitted:
            return self._bridge(colo, records)
        chosen: list[NodeRecord] = []
        for node in rank(self._duty(colo), permitted):
            chosen.append(records[node])
            if sum(not self._is_lost(record) for record in chosen) >= RELAYS_LINKED:
                break
        chosen += self._vip_mates(colo, chosen, records)
        return self._with_lost(chosen + self._ring_mates(chosen, records))

    def _vip_mates(self, colo: str, chosen: list[NodeRecord], records: dict[str, NodeRecord]) -> list[NodeRecord]:
        """Return a node for each of our VIPs whose sessions may go to a colo, and to none of the chosen: those share
        other VIPs with us, and could pass on nothing of this one.
        """
        mates: list[NodeRecord] = []
        for terms in self._vips.terms:
            near = [record for record in (*chosen, *mates) if not self._is_lost(record)]
            if any(self._vips.send(terms, record) for record in near):
                continue
            names = [node for node, record in records.items() if self._vips.send(terms, record)]
            for node in rank(self._duty(colo), names):
                mates.append(records[node])
                if not self._is_lost(records[node]):
                    break
        return mates

    def _ring_mates(self, chosen: list[NodeRecord], records: dict[str, NodeRecord]) -> list[NodeRecord]:
        """Return a node for each ring of ticket keys that reaches into a colo and that none of the chosen is in: a key
        encrypts when everybody has it, which nobody else there could tell.
        """
        mates: list[NodeRecord] = []
        for served in self._vips:
            near = [record for record in (*chosen, *mates) if not self._is_lost(record)]
            if served.vip.rotate_s is None or any(_in_ring(served.vip.terms, record) for record in near):
                continue
            names = [node for node, record in records.items() if _in_ring(served.vip.terms, record)]
            for node in rank(f"ring {self._local.identity.node}>{served.vip.terms.vip}", names):
                mates.append(records[node])
                if not self._is_lost(records[node]):
                    break
        return mates

    def _bridge(self, colo: str, records: dict[str, NodeRecord]) -> list[NodeRecord]:
        """Return one node to link to where no session may go, so that all of the mesh is known everywhere."""
        own = self._local.identity
        ours = [own.node, *(peer.name for peer in self._members.usable(own.colo))]
        if best(f"bridge {own.colo}>{colo}", ours) != own.node:
            return []
        chosen: list[NodeRecord] = []
        for node in rank(f"bridge {own.colo}>{colo}", records):
            chosen.append(records[node])
            if not self._is_lost(records[node]):
                break
        return self._with_lost(chosen)

    def _with_lost(self, chosen: list[NodeRecord]) -> list[NodeRecord]:
        """Return those that can be reached and the best of those that can't: they are wanted once they are back."""
        lost = [record for record in chosen if self._is_lost(record)]
        return [record for record in chosen if not self._is_lost(record)] + lost[:RELAYS_LINKED]

    def _duty(self, colo: str) -> str:
        return f"relay {self._local.identity.node}>{colo}"

    def _any_may_go(self, record: NodeRecord) -> bool:
        return any(self._vips.send(terms, record) for terms in self._vips.terms)

    def _newest(self, record: NodeRecord) -> NodeRecord:
        peer = self._members.get(record.node)
        return peer.record if peer is not None and peer.record.age >= record.age else record

    def _is_lost(self, record: NodeRecord) -> bool:
        """Return whether a node doesn't answer, as a peer or when dialled. Rosters name dead nodes for a while."""
        peer = self._members.get(record.node)
        return not peer.usable if peer is not None else self._candidates.silent(record.address)

    def _buried(self, record: NodeRecord, now: float) -> bool:
        return self._members.buried(record.node, record.incarnation, now)


def _in_ring(ours: Terms, record: NodeRecord) -> bool:
    """Return whether a node takes part in the ring of ticket keys that a VIP on these terms is in."""
    pairs = zip(record.vips, record.notes, strict=False)
    return any(note.tickets and bool(may_share(ours, terms)) for terms, note in pairs)
