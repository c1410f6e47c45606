"""All rings that this node is in, as its VIPs' terms have them, and which other nodes are in each.

Follows the VIPs: one whose group, settings or reach change gets another ring, a ring without a VIP is wiped, and the
next keys are made for the times that hold then. A key keeps those that it was made for: all nodes know it by them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from meshcache.core.policy.gates import REACH_SERVER, ReachKind, Terms
from meshcache.core.policy.own_policy import NO_OWN_POLICY
from meshcache.core.policy.ring_id import may_share, ring_id
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.tickets.ring import Ring
from meshcache.core.values.events import EventLog, TicketKeysWiped
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import NodeRecord

_MEMBERS_MAX = 8192
"""Answers of `of_node` remembered: peers, and twice the roster; all are forgotten at once."""


class Rings:
    """The rings of one node by id. ``version`` grows whenever something changed that handshakes have to know."""

    def __init__(self, vips: ServedVips, events: EventLog, limits: Limits) -> None:
        self._vips = vips
        self._events = events
        self._limits = limits
        self._rings: dict[bytes, Ring] = {}
        self._of_vip: dict[str, bytes] = {}
        self._terms: dict[bytes, Terms] = {}
        self._members: OrderedDict[int, tuple[NodeRecord, frozenset[bytes]]] = OrderedDict()
        self._generation = -1
        self.version = 0

    def __iter__(self) -> Iterator[Ring]:
        return iter(list(self._rings.values()))

    def __len__(self) -> int:
        return len(self._rings)

    def get(self, ring: bytes) -> Ring | None:
        """Return the ring of this id, if this node is in it."""
        return self._rings.get(ring)

    def of_vip(self, vip: str) -> Ring | None:
        """Return the ring of a VIP that is served here; None when it has no tickets."""
        ring = self._of_vip.get(vip)
        return None if ring is None else self._rings.get(ring)

    def follow(self, now: float) -> bool:
        """Take over what the VIPs' settings are now; says whether anything changed. Cheap when nothing did."""
        generation = self._vips.generation
        if generation == self._generation:
            return False
        self._generation = generation
        served: dict[bytes, list[ServedVip]] = {}
        for each in self._vips:
            if each.vip.rotate_s is not None:
                served.setdefault(ring_id(self._terms_of(each)), []).append(each)
        for gone in self._rings.keys() - served.keys():
            self._wiped(self._rings.pop(gone), now)
        for found, vips in served.items():
            self._serve(found, vips, now)
        self._of_vip = {each.vip.terms.vip: found for found, vips in served.items() for each in vips}
        self._terms = {found: self._terms_of(vips[0]) for found, vips in served.items()}
        self._members.clear()
        self.version += 1
        return True

    def of_node(self, record: NodeRecord) -> frozenset[bytes]:
        """Return the rings of this node's that another is in too, and takes part in."""
        known = self._members.get(id(record))
        if known is None or known[0] is not record:
            if len(self._members) >= _MEMBERS_MAX:
                self._members.clear()
            known = self._members[id(record)] = (record, self._shared_with(record))
        return known[1]

    def _shared_with(self, record: NodeRecord) -> frozenset[bytes]:
        theirs = [terms for terms, note in zip(record.vips, record.notes, strict=False) if note.tickets]
        return frozenset(ring for ring, ours in self._terms.items() if any(may_share(ours, each) for each in theirs))

    def _terms_of(self, served: ServedVip) -> Terms:
        """Return the terms that count for a ring: an operator's own policy asks about each node, which a key that is
        passed on can't, so with one the keys stay here.
        """
        terms = served.vip.terms
        return terms if self._vips.own_policy is NO_OWN_POLICY else replace(terms, reach=REACH_SERVER)

    def _serve(self, found: bytes, served: list[ServedVip], now: float) -> None:
        vips = frozenset(each.vip.terms.vip for each in served)
        rotate_s = min(each.vip.rotate_s for each in served if each.vip.rotate_s is not None)
        lifetime_s = max(each.vip.lifetime_s for each in served)
        ring = self._rings.get(found)
        if ring is None:
            terms = self._terms_of(served[0])
            shared = terms.reach.kind is not ReachKind.SERVER
            self._rings[found] = Ring(
                found, terms.group, vips, shared, rotate_s, lifetime_s, self._limits, empty_since=now
            )
        else:
            if rotate_s != ring.rotate_s:
                ring.turns_since = now
            ring.vips, ring.rotate_s, ring.lifetime_s = vips, rotate_s, lifetime_s

    def _wiped(self, ring: Ring, now: float) -> None:
        count = ring.wipe(now)
        if count:
            self._events.add(TicketKeysWiped(now, ring.group, count, "no VIP here is in their border any more"))
