"""Exchanges rosters: what each node knows of every colo's nodes, a hash first and the records only when they differ.

The own colo's roster only hints at addresses to dial; another colo's says where relays may be found.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf

from meshcache.core.membership.candidates import Candidates
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.outlet import Outlet
from meshcache.core.state.refusals import Anomaly
from meshcache.core.state.roster import RosterTable, digest_of
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.messages import (
    COLOS_KNOWN_MAX,
    ROSTER_BYTES_MAX,
    ROSTER_PAGES_MAX,
    ROSTER_RECORDS_MAX,
    ColoDigest,
    Roster,
    RosterAsk,
)
from meshcache.core.wire.record_size import PAGES_BYTES_MAX, weight_of

_MERGED_MAX = 16
"""Sets of our own colo that we have looked through already, by hash."""

_MERGED_S = 45.0
"""After which such a set is looked through again while it differs from ours: whom a peer has and we don't is dialled
for as long as that is so, since what is between may open at any time.
"""

_UNREACHED_S = 90.0
"""A node that starts, or that has ended, may be in a roster and not be reached for so long; then it is said."""

_OUTBID_S = 30.0
"""Between two answers to what another colo says in this node's name: if that is a copy of it, which answers in the same
way, neither begins a new life in each comparison.
"""

_ASK_S = 1.0
"""Between two asks for one colo: when fifty nodes start together, everybody's knowledge differs for a moment."""

PENDING_MAX = 64
"""Rosters of which some pages have come; the oldest is given up."""

_TERMS_BYTES = 192
"""Of one VIP with its note on the wire, for cutting pages; a long list of colos adds to it."""


@dataclass(slots=True)
class _Pages:
    """The pages of one colo's roster that have come from one peer, and the bytes of memory they take."""

    of: int
    by_place: dict[int, Roster] = field(default_factory=dict)
    size: int = 0

    def put(self, roster: Roster) -> None:
        """Add a page. One that says another number of pages than those before begins anew."""
        if roster.pages != self.of:
            self.of, self.by_place, self.size = roster.pages, {}, 0
        old = self.by_place.get(roster.page)
        self.by_place[roster.page] = roster
        self.size += weight_of(roster.records) - (weight_of(old.records) if old else 0)

    def records(self) -> list[NodeRecord]:
        """Return the records of all pages, in order."""
        return [record for at in sorted(self.by_place) for record in self.by_place[at].records]


class RosterExchange:
    """Tells peers what is known of nodes by hearsay, and learns from them."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        vips: ServedVips,
        members: Members,
        roster: RosterTable,
        outbox: Outbox,
        candidates: Candidates,
        outlet: Outlet,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._vips = vips
        self._members = members
        self._roster = roster
        self._outbox = outbox
        self._candidates = candidates
        self._asked_at: dict[str, float] = {}
        self._merged: OrderedDict[bytes, float] = OrderedDict()
        self._outlet = outlet
        self._pending: OrderedDict[tuple[str, str], _Pages] = OrderedDict()
        self._outbid_at = -inf

    @property
    def pending(self) -> dict[tuple[str, str], int]:
        """Return the bytes of memory of each roster of which some pages have come, by peer and colo."""
        return {key: pages.size for key, pages in self._pending.items()}

    def everybody(self) -> list[tuple[NodeRecord, str]]:
        """Return every node that is known, this one first, with its state: own, alive, suspect, lost, or hearsay."""
        linked = [(peer.record, peer.state.value) for peer in self._members]
        names = {self._local.identity.node, *(record.node for record, _ in linked)}
        hearsay = [(record, "hearsay") for record in self._roster if record.node not in names]
        return [(self._vips.record, "own"), *linked, *hearsay]

    def digests(self, now: float) -> tuple[ColoDigest, ...]:
        """Return what this node's digest says of each colo."""
        own = self._local.identity.colo
        return (ColoDigest(own, digest_of(self._own()), 0), *self._roster.digests(now))

    def digests_received(self, peer: Peer, told: tuple[ColoDigest, ...], now: float) -> bool:
        """Ask a peer for what its digests show to be fresher there. Return whether there is any."""
        wanted = [colo.colo for colo in told if self._wants(peer, colo, now)]
        if wanted:
            self._outbox.send(peer.address, RosterAsk(tuple(wanted)))
        return bool(wanted)

    def request_received(self, peer: Peer, ask: RosterAsk, now: float) -> None:
        """Give a peer the records of these colos."""
        own = self._local.identity.colo
        for colo in dict.fromkeys(ask.colos):
            records = self._own() if colo == own else list(self._roster.records(colo))
            age_s = 0 if colo == own or not records else self._roster.vouched_s(colo, now)
            pages = _pages(records)
            for at, page in enumerate(pages if records else []):
                self._outbox.send(peer.address, Roster(colo, age_s, tuple(page), at, len(pages)))

    def roster_received(self, peer: Peer, roster: Roster, now: float) -> None:
        """Take in a page; with the last of them the colo's records are learnt."""
        if roster.page >= roster.pages:
            self._telemetry.drop(Drop.BAD_PAGE)
            return
        key = (peer.name, roster.colo)
        pages = self._pending.setdefault(key, _Pages(roster.pages))
        pages.put(roster)
        if len(pages.by_place) == pages.of:
            del self._pending[key]
            self._learn(roster, pages.records(), now)
        self._give_up_pages()

    def record_received(self, record: NodeRecord, now: float) -> None:
        """Take in what a node says of itself, in place of what others said of it."""
        if record.colo != self._local.identity.colo:
            self._roster.note(record, int(self._local.limits.forget_s / 2), now)

    def _give_up_pages(self) -> None:
        while len(self._pending) > PENDING_MAX:
            self._pending.popitem(last=False)
        while sum(pages.size for pages in self._pending.values()) > PAGES_BYTES_MAX:
            self._pending.popitem(last=False)
            self._telemetry.drop(Drop.TOO_HEAVY)

    def _wants(self, peer: Peer, told: ColoDigest, now: float) -> bool:
        if not self._differs(peer, told, now) or now < self._asked_at.get(told.colo, now - _ASK_S) + _ASK_S:
            return False
        if len(self._asked_at) > COLOS_KNOWN_MAX:
            self._asked_at.clear()
        self._asked_at[told.colo] = now
        return True

    def _differs(self, peer: Peer, told: ColoDigest, now: float) -> bool:
        own = self._local.identity.colo
        if told.colo != own:
            if told.age_s == 0 and peer.colo != told.colo:
                told = told._replace(age_s=1)  # only its own nodes see a colo this minute
            return self._roster.compare(told, now)
        looked_through = now - self._merged.get(told.digest, -inf) < _MERGED_S
        return not looked_through and told.digest != digest_of(self._own())

    def _learn(self, roster: Roster, records: list[NodeRecord], now: float) -> None:
        if roster.colo == self._local.identity.colo:
            self._merge(records, now)
            return
        for record in records:
            if record.node == self._local.identity.node and now >= self._outbid_at:
                self._outbid_at = now + _OUTBID_S
                self._outlet.own_name_heard(record, now)
        linked = [peer.record for peer in self._members if peer.colo == roster.colo]
        self._roster.learn(roster.colo, records, linked, roster.age_s, now)

    def _merge(self, records: list[NodeRecord], now: float) -> None:
        digest = digest_of(records)
        self._merged[digest] = now
        self._merged.move_to_end(digest)
        while len(self._merged) > _MERGED_MAX:
            self._merged.popitem(last=False)
        own, members = self._local.identity, self._members
        for record in records:
            if record.node == own.node:
                self._outlet.own_name_heard(record, now)
            strange = record.colo == own.colo and record.node != own.node and members.get(record.node) is None
            if strange and not members.buried(record.node, record.incarnation, now):
                self._candidates.hint(record.address, "roster", now)
                self._telemetry.refusals.note(
                    record.node, record.address, Anomaly.UNREACHED, now, patience_s=_UNREACHED_S
                )

    def _own(self) -> list[NodeRecord]:
        own = self._local.identity
        records = [peer.record for peer in self._members if peer.colo == own.colo]
        return sorted([self._vips.record, *records], key=lambda record: record.node)


def _pages(records: list[NodeRecord]) -> list[list[NodeRecord]]:
    pages: list[list[NodeRecord]] = [[]]
    size = 0
    for record in records:
        cost = _TERMS_BYTES + sum(_TERMS_BYTES + 16 * len(vip.reach.colos) for vip in record.vips)
        if len(pages[-1]) >= ROSTER_RECORDS_MAX or (pages[-1] and size + cost > ROSTER_BYTES_MAX):
            pages.append([])
            size = 0
        pages[-1].append(record)
        size += cost
    return pages[:ROSTER_PAGES_MAX]
