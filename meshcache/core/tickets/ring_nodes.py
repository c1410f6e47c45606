"""Which nodes are in a ring, who of them makes its next key, and what each has, by what they say.

Decides nothing and sends nothing.
"""

from __future__ import annotations

from meshcache.core.state.members import Members, Peer
from meshcache.core.state.roster import RosterTable
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.tickets.peers_keys import PeersKeys
from meshcache.core.tickets.ring import Ring
from meshcache.core.tickets.rings import Rings
from meshcache.core.values.ticket_key import TicketKey
from meshcache.core.values.topology import rank


class RingNodes:
    """The nodes of all rings, this one left out: linked ones, and for the turn to make a key all that are known."""

    def __init__(self, rings: Rings, peers: PeersKeys, members: Members, roster: RosterTable, vips: ServedVips) -> None:
        self._rings = rings
        self._peers = peers
        self._members = members
        self._roster = roster
        self._vips = vips
        self._stamp: tuple[int, ...] = ()
        self._turns: dict[bytes, tuple[int, bool]] = {}
        self._group_vips: dict[str, frozenset[str]] = {}

    def linked(self, ring: Ring) -> list[Peer]:
        """Return the linked nodes of a ring that aren't lost."""
        return [peer for peer in self._members if peer.usable and ring.id in self._rings.of_node(peer.record)]

    def others(self, ring: Ring) -> set[str]:
        """Return all nodes of a ring that may live, also those that are known by hearsay only."""
        unlinked = (record for record in self._roster if self._members.get(record.node) is None)
        hearsay = {record.node for record in unlinked if ring.id in self._rings.of_node(record)}
        return {peer.name for peer in self.linked(ring)} | hearsay - {self._vips.record.node}

    def in_turn(self, ring: Ring, others: set[str]) -> list[str]:
        """Return all nodes of a ring in the order in which they make its next key."""
        return rank(f"ticket key {ring.id.hex()}", {self._vips.record.node, *others})

    def turn(self, ring: Ring) -> tuple[int, bool]:
        """Return this node's place in that order, 0 for the first, and whether another node is in the ring, or may be
        without having said so yet: settings change on many at once.
        """
        self._forget_outdated()
        turn = self._turns.get(ring.id)
        if turn is None:
            others = self.others(ring)
            heard = ring.shared and any(peer.usable for peer in self._members)
            turn = self._turns[ring.id] = (
                self.in_turn(ring, others).index(self._vips.record.node),
                bool(others) or heard,
            )
        return turn

    def without(self, ring: Ring, key: TicketKey) -> list[str]:
        """Return the living nodes of the ring that aren't known to have a key, or that know of a higher one."""
        return [peer.name for peer in self.linked(ring) if not self.has(ring, peer, key)]

    def near_have(self, ring: Ring, key: TicketKey) -> bool:
        """Return whether the living nodes of this colo have a key, and none of a higher one that isn't here."""
        own = self._vips.record.colo
        return all(self.has(ring, peer, key) for peer in self.linked(ring) if peer.colo == own)

    def has(self, ring: Ring, peer: Peer, key: TicketKey) -> bool:
        """Return whether a peer has a key; one of another colo, whether all of its colo have it."""
        known = self._peers.of(peer)
        newest = known.newest(ring.id)
        if not known.has(ring.id, key.name) or (newest.rank > key.rank and ring.find(newest.name) is None):
            return False
        if peer.colo == self._vips.record.colo:
            return True
        spread = ring.find(known.spread(ring.id))
        return spread is not None and spread.rank >= key.rank

    def vips_of(self, ring: Ring) -> frozenset[str]:
        """Return all VIPs of the ring's group that anybody is known to serve: one's tickets are good for another."""
        self._forget_outdated()
        vips = self._group_vips.get(ring.group)
        if vips is None:
            records = (self._vips.record, *(peer.record for peer in self._members), *self._roster)
            terms = (each for record in records for each in record.vips)
            vips = self._group_vips[ring.group] = frozenset(each.vip for each in terms if each.group == ring.group)
        return vips

    def _forget_outdated(self) -> None:
        """Forget answers once a node came, went or changed its terms: they are asked for at every step, and thousands
        of records are gone through for one.
        """
        own = self._vips.record
        stamp = (self._members.generation, own.revision, own.incarnation, self._roster.generation, self._rings.version)
        if stamp != self._stamp:
            self._stamp = stamp
            self._turns.clear()
            self._group_vips.clear()
