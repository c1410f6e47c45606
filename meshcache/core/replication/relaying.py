"""Relaying, whole: when this node passes another colo's sessions on, to whom, and what of a relay's word is believed.

The origin chooses its relay in each colo (`links`), and asks it in the push. Who may get what the relay has is the
origin's own terms' matter (`audience`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from meshcache.core.holders.audience import Audiences
from meshcache.core.holders.placement import Placement
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.wire.messages import PUSH_SPAN_MAX, Batch, Push


class Relaying:
    """What this node does as a relay for other colos, and what it believes of what relays pass on to it."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        members: Members,
        outbox: Outbox,
        audiences: Audiences,
        placement: Placement,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._members = members
        self._outbox = outbox
        self._audiences = audiences
        self._placement = placement

    def may_pass_on(self, peer: Peer, push: Push) -> bool:
        """Return whether this node passes on what a peer pushes: another colo's origin itself asks it to.

        So nothing is passed on twice, and nobody makes a relay of this node for sessions that aren't its own.
        """
        by_origin = push.batch.terms.node == peer.name
        return push.relay and by_origin and peer.colo != self._local.identity.colo

    def pass_on(self, batch: Batch, source: Peer, age_us: int) -> None:
        """Send another colo's batch to the peers in this one, once, to whom its origin's own terms allow."""
        if batch.terms.copies:
            self._pass_on_shares(batch, source, age_us)
            return
        peers = [peer for peer in self._audiences.of_relayed(batch.terms) if peer is not source]
        self._telemetry.counters.relayed += len(batch.entries.ids) if peers else 0
        addresses = [peer.address for peer in peers]
        self._push(addresses, batch, age_us)

    def _pass_on_shares(self, batch: Batch, source: Peer, age_us: int) -> None:
        """Send each node of this colo what it is to hold of a batch."""
        shares = self._placement.shares(batch.terms, ((each, at) for at, each in enumerate(batch.entries.ids)))
        passed: set[int] = set()
        for peer, places in shares:
            if peer is not source:
                passed.update(places)
                entries = batch.entries.chosen(places)
                share = replace(batch, first=entries.seqs[0], last=entries.seqs[-1], entries=entries)
                self._push([peer.address], share, age_us)
        self._telemetry.counters.relayed += len(passed)

    def _push(self, addresses: list[str], batch: Batch, age_us: int) -> None:
        for part in _within_span(batch):
            self._outbox.send_all(addresses, Push(part, False, age_us), len(part.entries.ids))

    def pass_on_fetched(self, batch: Batch, source: Peer) -> None:
        """Pass on what was fetched from another colo: the relay that should have had it may be the one cut off."""
        own = self._local.identity
        if source.colo != own.colo and batch.terms.colo != own.colo:
            self.pass_on(batch, source, 0)

    def objection(self, peer: Peer, batch: Batch) -> Drop | None:
        """Return what speaks against a batch that a peer pushes: as its own, or as the relay of another colo's node."""
        own, terms = self._local.identity, batch.terms
        if terms.node == peer.name:
            if batch.incarnation != peer.record.incarnation:
                return Drop.OLD_INCARNATION
            return None if terms.colo == peer.colo else Drop.FORGED_ORIGIN
        if terms.node == own.node or peer.colo != own.colo or terms.colo == own.colo:
            return Drop.FORGED_ORIGIN
        origin = self._members.get(terms.node)
        if origin is not None and origin.record.incarnation > batch.incarnation:
            return Drop.OLD_INCARNATION
        return self.hearsay_objection(batch)

    def hearsay_objection(self, batch: Batch) -> Drop | None:
        """Return what speaks against a batch that another than its origin gives: a living origin's word counts more."""
        origin = self._members.get(batch.terms.node)
        if origin is None:
            return None
        newer = batch.age > origin.record.age and origin.state is PeerState.ALIVE
        own_word = origin.record.terms_of(batch.terms.vip)
        if newer or (batch.age == origin.record.age and batch.terms != own_word):
            return Drop.FORGED_TERMS
        return None if batch.terms.colo == origin.colo else Drop.FORGED_ORIGIN

    def origin_answers(self, batch: Batch) -> bool:
        """Return whether the origin can say which of its numbers are for this node: nobody else's word counts then."""
        origin = self._members.get(batch.terms.node)
        alive = origin is not None and origin.state is PeerState.ALIVE
        return origin is not None and alive and origin.record.incarnation == batch.incarnation


def _within_span(batch: Batch) -> Iterator[Batch]:
    """Yield a batch as batches that a push has room for: an answer to a fetch covers as much as was asked for.

    Numbers between them are left out, since of a relay's batch only the entries count.
    """
    if batch.last - batch.first < PUSH_SPAN_MAX:
        yield batch
        return
    seqs, begin = batch.entries.seqs, 0
    for end in range(1, len(seqs) + 1):
        if end == len(seqs) or seqs[end] - seqs[begin] >= PUSH_SPAN_MAX:
            entries = batch.entries.chosen(range(begin, end))
            yield replace(batch, first=seqs[begin], last=seqs[end - 1], entries=entries)
            begin = end
