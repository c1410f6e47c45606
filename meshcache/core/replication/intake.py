"""Takes batches in: judges who may claim what, asks the gates once for each batch, and files the rest by the column.

A batch that may not be kept leaves no trace but a count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from meshcache.core.cache.cache import PutResult, SessionCache
from meshcache.core.cache.consumed_ids import ConsumedIds
from meshcache.core.cache.entry import Entries
from meshcache.core.cache.quarantine import Quarantine
from meshcache.core.cache.streams import Stream
from meshcache.core.control.recall import Recall
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.holders.awaiting import Awaiting
from meshcache.core.holders.placement import Placement
from meshcache.core.holders.relay_retention import RelayRetention
from meshcache.core.policy.gates import Terms, Verdict
from meshcache.core.replication.relaying import Relaying
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Peer
from meshcache.core.state.outlet import Outlet
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.values.topology import LocalVip
from meshcache.core.wire.messages import PUSH_SPAN_MAX, Batch, Push

_BEYOND_MAX = 16 * PUSH_SPAN_MAX
"""Above the last number that a living origin said it has made, which it says each second: more than it makes until it
says so again. One number far beyond all others would take the place of all of a stream in the journal."""


class Intake:
    """Files what is new of each batch that may be kept here: pushed, fetched, handed over, or from a tier.

    The outlet is told when a batch shows that something before it is missing.
    """

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        cache: SessionCache,
        vips: ServedVips,
        relaying: Relaying,
        recall: Recall,
        quarantine: Quarantine,
        withdraws: Withdraws,
        consumed: ConsumedIds,
        awaiting: Awaiting,
        placement: Placement,
        relay_retention: RelayRetention,
        outlet: Outlet,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._cache = cache
        self._vips = vips
        self._relaying = relaying
        self._recall = recall
        self._quarantine = quarantine
        self._withdraws = withdraws
        self._consumed = consumed
        self._awaiting = awaiting
        self._placement = placement
        self._relay_retention = relay_retention
        self._outlet = outlet

    def push_received(self, peer: Peer, push: Push, now: float) -> None:
        """Take in a push: a peer's own sessions, which this node may be asked to relay, or relayed ones."""
        batch = push.batch
        self._telemetry.count_received(batch)
        objection = self._relaying.objection(peer, batch)
        if objection is not None:
            self._telemetry.drop(objection)
            return
        if not peer.origin_bucket.take(len(batch.entries.ids) or 1, now):
            self._telemetry.drop(Drop.ORIGIN_QUOTA, len(batch.entries.ids))
            return
        told, batch = batch, aged(batch, int(peer.late_at(now)))
        if batch is not told and self._in_doubt(told, batch, now):
            self._telemetry.drop(Drop.IN_DOUBT, len(batch.entries.ids))
            return
        own = batch.terms.node == peer.name
        stream = self.take(batch, now, own=own, whole=own)
        if stream is None:
            return
        inside = batch.terms.colo == self._local.identity.colo
        self._telemetry.count_lag(push.age_us / 1e6, peer.rtt_s, inside=inside)
        counts = not stream.terms.copies or 1 in stream.seen
        if counts and not stream.seen.covers(1, stream.newest):
            self._outlet.gap_seen(peer, stream, now)
        if self._relaying.may_pass_on(peer, push):
            self._relaying.pass_on(batch, peer, push.age_us)

    def _in_doubt(self, told: Batch, aged: Batch, now: float) -> bool:
        """Return whether some of a batch is kept out only if it was long under way: by a withdraw, or as too old. Then
        it counts as lost: what is fetched comes with its age, so what is over doesn't come back and nothing is lost.
        """
        verdict, name = self._vips.accept(told.terms)
        served = self._vips.get(name) if verdict and told.entries.ids else None
        if served is None:
            return False
        kept_out = self._kept_out
        return kept_out(told.terms, told.entries, served.vip, now) != kept_out(
            told.terms, aged.entries, served.vip, now
        )

    def take(
        self,
        batch: Batch,
        now: float,
        *,
        own: bool = True,
        whole: bool = True,
        repaired: bool = False,
        inherited: bool = False,
        restored: bool = False,
        pulled: bool = False,
    ) -> Stream | None:
        """File what is new of a batch. Return its stream, or None when nothing was new or nothing may be kept.

        `own` says that its origin gave it, `whole` that its numbers without an entry count as seen as well: from others
        they do only where the origin can't be asked (`Relaying.origin_answers`). `inherited` is what this node had
        in its last life, which its reach doesn't keep from it; `restored` that a tier kept it, so that what was seen
        before may be missing all the same, and `pulled` that it was asked for by id, with the same consequence.
        """
        key = batch.key
        known = self._cache.streams.get(key)
        if (not whole and not batch.entries.ids) or (not own and self._drops_far_beyond(known, batch)):
            return None
        if known is not None and batch.age > known.age:
            self._recall.adopt(known, batch.terms, batch.age, now)
            known = self._cache.streams.get(key)
        served = self._place(batch, known, inherited)
        if served is None:
            return None
        stream = self._open(batch, served, now) if known is None else known
        if stream is None:
            return None
        stream.last_active_at = now
        if stream.terms.copies:
            self._take_share(stream, batch, served, now, own, repaired, restored, pulled or inherited)
            return stream
        entries = batch.entries
        # What was sent while few were to hold it is a share: its numbers without an entry are others'.
        covered = [(batch.first, batch.last)] if whole and not batch.terms.copies else list(_runs(entries.seqs))
        if stream.seen.highest >= batch.first and not (restored or pulled):
            entries = self._unseen(stream, batch, served, own)
            if not entries.ids and all(stream.seen.covers(first, last) for first, last in covered):
                return None
        for first, last in covered:
            stream.see(first, last, own=own)
        if entries.ids:
            self._file(stream, entries, served, now, repaired, restored)
        return stream

    def _drops_far_beyond(self, stream: Stream | None, batch: Batch) -> bool:
        """Drop what another node gives that the origin can't have made yet, by its own word; return whether it was
        so.

        Only who is linked with it hears that, and relays alone of what is for some nodes only.
        """
        told = 0 if stream is None or stream.terms.copies or not batch.entries.ids else stream.vouched
        if not told or batch.entries.seqs[-1] <= told + _BEYOND_MAX or not self._relaying.origin_answers(batch):
            return False
        self._telemetry.drop(Drop.FAR_BEYOND, len(batch.entries.ids))
        return True

    def _take_share(
        self,
        stream: Stream,
        batch: Batch,
        served: ServedVip,
        now: float,
        own: bool,
        repaired: bool,
        restored: bool,
        wanted: bool,
    ) -> None:
        """File what this node is to hold of a stream whose sessions are for some nodes only.

        Its numbers say nothing of what is missing here, and what was seen may be for this node later: nothing counts as
        seen. But from another colo its origin gives the relay all of it, to spread: so a relay sees a gap, from where
        it is told to begin, by one session that stands for all before it (`relay_turns`). While it pushes nothing it
        gives nothing either, when it is asked for a gap: then that counts no more than here.
        """
        entries = batch.entries
        from_abroad = own and stream.terms.colo != self._local.identity.colo
        if from_abroad and not (wanted or restored):
            mine = self._placement.is_mine
            self._keep_a_while(stream, entries, served, now, repaired)
            entries = entries.chosen([at for at, each in enumerate(entries.ids) if mine(stream.terms, each)])
            told_to_begin = not repaired and len(batch.entries.ids) <= batch.last - batch.first
            if stream.terms.push and batch.terms.push:
                stream.see(1 if told_to_begin else batch.first, batch.last, own=True)
        if entries.ids:
            self._file(stream, entries, served, now, repaired, restored)

    def _keep_a_while(self, stream: Stream, entries: Entries, served: ServedVip, now: float, repaired: bool) -> None:
        """File what this node only passes on, beside its tiers, until its holders have had time to ask for it."""
        others = self._relay_retention.keep(stream, entries)
        if others.ids:
            self._relay_retention.kept(
                stream, self._file(stream, others, served, now, repaired, False, passing=True), now
            )

    def _place(self, batch: Batch, known: Stream | None, inherited: bool) -> ServedVip | None:
        """Return the VIP to file a batch under, by its terms and by newer ones known here; None if it may not stay."""
        accept = self._vips.inherit if inherited else self._vips.accept
        verdict, vip = accept(batch.terms)
        newest, age = self._newest(batch) if known is None else (known.terms, known.age)
        if verdict and age > batch.age:
            verdict, vip = accept(newest)
            if (newest.group, newest.digest) != (batch.terms.group, batch.terms.digest):
                verdict = Verdict.SETTINGS_DIFFER
        if not verdict:
            self._refuse(batch, verdict)
            return None
        return self._vips.get(vip)

    def _newest(self, batch: Batch) -> tuple[Terms, tuple[int, int]]:
        """Return the newest terms of a stream that isn't here yet: the batch's, or those known of its origin."""
        word = self._recall.word(batch.key)
        return word if word is not None and word[1] > batch.age else (batch.terms, batch.age)

    def _refuse(self, batch: Batch, verdict: Verdict) -> None:
        served = self._vips.get(batch.terms.vip)
        if served is None:
            self._telemetry.drop(Drop.REFUSED, len(batch.entries.ids))
        else:
            served.counters.refuse(verdict, len(batch.entries.ids))

    def _open(self, batch: Batch, served: ServedVip, now: float) -> Stream | None:
        newest, age = self._newest(batch)
        stream = self._cache.streams.open(newest, batch.key, served.vip.terms.vip, now)
        if stream is None:
            self._telemetry.drop(Drop.STREAMS_FULL, len(batch.entries.ids))
        else:
            stream.age = age
        return stream

    def _unseen(self, stream: Stream, batch: Batch, served: ServedVip, own: bool) -> Entries:
        entries, hearsay = batch.entries, (stream.hearsay if own else None) or ()
        places = [at for at, seq in enumerate(entries.seqs) if seq not in stream.seen or seq in hearsay]
        served.counters.duplicate += len(entries.ids) - len(places)
        return entries if len(places) == len(entries.ids) else entries.chosen(places)

    def _file(
        self,
        stream: Stream,
        entries: Entries,
        served: ServedVip,
        now: float,
        repaired: bool,
        restored: bool,
        passing: bool = False,
    ) -> Entries:
        """File what is let in. Return it."""
        entries = self._permitted(stream, entries, served.vip, served, now)
        if not entries.ids:
            return entries
        counters = served.counters
        ends = self._cache.put_many(stream, entries, now, at_own_cost=not restored, for_tiers=not passing)
        if self._awaiting:
            self._awaiting.came(entries.ids)
        for end, count in ends.items():
            if end is PutResult.STORED and restored:
                counters.restored += count
            elif end is PutResult.STORED:
                counters.received += count
                counters.repaired += count if repaired else 0
                self._telemetry.counters.repaired += count if repaired else 0
            elif end is PutResult.DUPLICATE:
                counters.duplicate += count
            else:
                counters.refuse(end, count)
        return entries

    def permitted_to_stay(self, stream: Stream, entries: Entries, served: ServedVip, now: float) -> Entries:
        """Return the entries that may stay on their own node: what is a client certificate's leaves it for nobody."""
        return self._permitted(stream, entries, replace(served.vip, export_client_certificates=True), served, now)

    def _permitted(self, stream: Stream, entries: Entries, vip: LocalVip, served: ServedVip, now: float) -> Entries:
        """Return the entries that limits, withdraws, quarantine and single use let in; lifetimes cut to the VIP's."""
        out = self._kept_out(stream.terms, entries, vip, now)
        for reason in out.values():
            served.counters.refuse(reason)
        if out:
            entries = entries.chosen([at for at in range(len(entries.ids)) if at not in out])
        return _shortened(entries, int(served.vip.lifetime_s))

    def _kept_out(self, terms: Terms, entries: Entries, vip: LocalVip, now: float) -> dict[int, Verdict]:
        """Map entry index to refusal; the last check wins."""
        out: dict[int, Verdict] = {}
        if max(entries.elapsed_s) > vip.lineage_s:
            old = (at for at, elapsed in enumerate(entries.elapsed_s) if elapsed > vip.lineage_s)
            out.update(dict.fromkeys(old, Verdict.LINEAGE))
        if min(entries.remaining_s) < 1:
            over = (at for at, remaining in enumerate(entries.remaining_s) if remaining < 1)
            out.update(dict.fromkeys(over, Verdict.LIFETIME))
        if any(entries.certified) and not vip.export_client_certificates:
            certified = (at for at, flag in enumerate(entries.certified) if flag)
            out.update(dict.fromkeys(certified, Verdict.CLIENT_CERTIFICATE))
        if self._quarantine:
            out.update(dict.fromkeys(self._quarantine.places(entries.ids, now), Verdict.QUARANTINED))
        if self._withdraws:
            withdrawn = self._withdraws.places(terms, entries.ids, entries.elapsed_s, now)
            out.update(dict.fromkeys(withdrawn, Verdict.WITHDRAWN))
        if self._consumed:
            out.update(dict.fromkeys(self._consumed.places(terms.group, entries.ids), Verdict.CONSUMED))
        return out


def _runs(seqs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield numbers that go up, as ranges."""
    first = last = 0
    for seq in seqs:
        if first and seq != last + 1:
            yield first, last
            first = 0
        first, last = first or seq, seq
    if first:
        yield first, last


def aged(batch: Batch, late_s: int) -> Batch:
    """Return a batch that may have been under way for so long: in doubt its sessions are older, so that none outlives
    its end or a withdraw.
    """
    if not late_s:
        return batch
    entries = batch.entries
    elapsed = [seconds + late_s for seconds in entries.elapsed_s]
    remaining = [max(seconds - late_s, 0) for seconds in entries.remaining_s]
    return replace(batch, entries=entries._replace(remaining_s=remaining, elapsed_s=elapsed))


def _shortened(entries: Entries, lifetime_s: int) -> Entries:
    if not entries.ids or max(entries.remaining_s) <= lifetime_s:
        return entries
    return entries._replace(remaining_s=[min(remaining, lifetime_s) for remaining in entries.remaining_s])
