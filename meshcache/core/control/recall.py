"""Takes back what today's terms no longer allow: at the origin when it changes them, at peers when they learn of it.

Removes local copies and counts them, and what waits to be sent; it sends nothing. What an operator takes back is
`withdraws`'.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.streams import Stream
from meshcache.core.policy.gates import Terms
from meshcache.core.state.members import Members, PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.roster import RosterTable
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.events import SessionsRecalled
from meshcache.core.values.session import Session, StreamKey
from meshcache.core.values.topology import LocalVip, NodeRecord

_RECENT_MAX = 1024
"""Recalls whose time is remembered, for an operator who asks what a change has done: each stream makes one."""

_REFUSED_MAX = 4096
"""Newest terms that forbid a stream here, kept after their origin is gone; the oldest go first."""


class _Recalled(NamedTuple):
    """Copies of a VIP's sessions that were taken back at one time, and by which version of its live policy."""

    at: float
    vip: str
    sessions: int
    version: int


_Word: TypeAlias = tuple[Terms, tuple[int, int]]
"""Terms, and the (incarnation, revision) of the node that said so."""


class Recall:
    """Holds streams to the newest terms that are known of their origin, and removes what those no longer allow here."""

    def __init__(
        self,
        telemetry: Telemetry,
        cache: SessionCache,
        vips: ServedVips,
        members: Members,
        roster: RosterTable,
        outbox: Outbox,
    ) -> None:
        self._telemetry = telemetry
        self._cache = cache
        self._vips = vips
        self._members = members
        self._roster = roster
        self._outbox = outbox
        self._heard_of = (-1, -1)
        self._refused: OrderedDict[tuple[str, str], _Word] = OrderedDict()
        self._recent: deque[_Recalled] = deque(maxlen=_RECENT_MAX)

    def lately(self, vip: str, since: float, version: int = 0) -> int:
        """Return how many copies of a VIP's sessions were taken back here since a moment not long ago, by that version
        of its live policy or a later one.
        """
        return sum(
            recalled.sessions
            for recalled in self._recent
            if recalled.vip == vip and recalled.at >= since and recalled.version >= version
        )

    def record_received(self, record: NodeRecord, now: float) -> None:
        """Hold everything that a node made, in this and earlier lives, to the newest terms that are known of it."""
        for said in record.vips:
            self._remember(said, record.age)
        for stream in list(self._cache.streams):
            if stream.key.origin == record.node and stream.age < record.age:
                terms = record.terms_of(stream.key.vip)
                if terms is not None and stream.key.incarnation <= record.incarnation:
                    self.adopt(stream, terms, record.age, now, record.note_of(stream.key.vip).version)

    def by_hearsay(self, now: float) -> None:
        """Hold streams of nodes that aren't linked, or don't live, to what others say of them. Call it now and then."""
        stamp = self._roster.generation, self._members.generation
        if stamp == self._heard_of:
            return
        self._heard_of = stamp
        linked = {peer.name for peer in self._members if peer.state is PeerState.ALIVE}
        known = {self._vips.record.node, *linked}
        told = {record.node: record for record in self._roster if record.node not in known}
        for stream in list(self._cache.streams):
            record = told.get(stream.key.origin)
            terms = None if record is None else record.terms_of(stream.key.vip)
            if record is not None and terms is not None and stream.age < record.age:
                self.adopt(stream, terms, record.age, now, record.note_of(stream.key.vip).version)

    def word(self, key: StreamKey) -> _Word | None:
        """Return the newest terms known of a stream that isn't here, or is no longer, with their age.

        What others say of a node counts only while it isn't heard, and of this one never.
        """
        if key.origin == self._vips.record.node:
            return _word_of(self._vips.record, key.vip)
        peer = self._members.get(key.origin)
        heard = peer is not None and peer.state is PeerState.ALIVE
        hearsay = None if heard else self._roster.find(key.origin)
        told = (_word_of(None if peer is None else peer.record, key.vip), _word_of(hearsay, key.vip))
        return max(filter(None, (*told, self._refused.get((key.origin, key.vip)))), key=_age_of, default=None)

    def ages(self) -> dict[str, tuple[int, int]]:
        """Return the newest that is known of each name whose sessions are held to it: (incarnation, revision)."""
        newest: dict[str, tuple[int, int]] = {}
        for stream in self._cache.streams:
            age = max(stream.age, (stream.key.incarnation, 0))
            newest[stream.key.origin] = max(age, newest.get(stream.key.origin, age))
        for (node, _), (_, age) in self._refused.items():
            newest[node] = max(age, newest.get(node, age))
        return newest

    def allows(self, key: StreamKey) -> bool:
        """Return whether a stream may be kept here, as far as its terms are known."""
        stream = self._cache.streams.get(key)
        word = (stream.terms, stream.age) if stream is not None else self.word(key)
        return word is None or bool(self._vips.accept(word[0])[0])

    def adopt(self, stream: Stream, terms: Terms, age: tuple[int, int], now: float, version: int = 0) -> None:
        """Hold a stream to newer terms. If they don't allow it here, forget it with all its entries.

        Entries made under other settings or in another group don't resume at their origin any more: they go too. Where
        few nodes were to hold them and now all are, what isn't here is missing from now on. ``version`` is that of the
        live policy with which the terms came, if their node said so.
        """
        old, stream.terms, stream.age = stream.terms, terms, age
        if old.copies and not terms.copies:
            stream.see_what_is_here()
        self._cache.renew()
        same = (old.group, old.digest) == (terms.group, terms.digest)
        if not same or not self._may_stay(stream):
            self._forget(stream, now, version if stream.key.vip == stream.vip else 0)
        self._remember(terms, age)

    def unsent(self) -> None:
        """Drop what waits to be sent: it was judged by terms that are older than today's, which may be stricter."""
        self._outbox.recall()

    def vip_changed(self, old: LocalVip, new: LocalVip, now: float) -> None:
        """Take back what a VIP of this node allowed and allows no longer. It is served by its new settings already."""
        name = new.terms.vip
        if new.lifetime_s < old.lifetime_s:
            self._report(name, self._cache.shorten(name, old.lifetime_s, new.lifetime_s, now), now)
        if new.lineage_s < old.lineage_s:
            self._remove(name, lambda session: now - session.born_at > new.lineage_s, now)
        if old.export_client_certificates and not new.export_client_certificates:
            self.unsent()
            self._remove(name, lambda session: session.client_certificate and not self._is_ours(session.stream), now)
        if (new.terms, new.note) != (old.terms, old.note):
            self.unsent()
            self._judge_all(old.terms, new.terms, now)
            # What earlier lives of this node made is held to the new terms too.
            self.record_received(self._vips.record, now)

    def own_policy_changed(self, now: float) -> None:
        """Judge anew, by the operator's own policy, what is here, what waits to be sent and who may have it."""
        self._members.permitted_anew()
        self.unsent()
        for stream in list(self._cache.streams):
            if not self._is_own(stream.key) and not self._may_stay(stream):
                self._forget(stream, now)

    def vip_removed(self, name: str) -> None:
        """Forget the entries and streams of a VIP that is served no longer."""
        self.unsent()
        self._cache.drop_vip(name)
        for stream in list(self._cache.streams):
            if stream.vip == name:
                self._cache.streams.drop(stream)

    def _judge_all(self, old: Terms, new: Terms, now: float) -> None:
        """Judge every stream again: a VIP of this node has new terms."""
        for stream in list(self._cache.streams):
            own = self._is_own(stream.key)
            if own and stream.vip == new.vip and (old.group, old.digest) != (new.group, new.digest):
                self._empty(stream, now)
            elif not own and not self._may_stay(stream):
                self._forget(stream, now)

    def _remove(self, vip: str, fits: Callable[[Session], bool], now: float) -> None:
        ids = [session.id for session in self._cache.sessions(vip) if fits(session)]
        for session_id in ids:
            self._cache.remove(vip, session_id)
        self._report(vip, len(ids), now)

    def _remember(self, terms: Terms, age: tuple[int, int]) -> None:
        """Keep a word that forbids something here, until there is a newer one that doesn't: whoever missed it may offer
        what was taken back.
        """
        key = (terms.node, terms.vip)
        known = self._refused.pop(key, (terms, age))
        newest = max((terms, age), known, key=_age_of)
        if not self._vips.accept(newest[0])[0]:
            self._refused[key] = newest
        if len(self._refused) > _REFUSED_MAX:
            self._refused.popitem(last=False)

    def _is_own(self, key: StreamKey) -> bool:
        own = self._vips.record
        return key[:2] == (own.node, own.incarnation)

    def _is_ours(self, key: StreamKey) -> bool:
        return self._is_own(key) or self._vips.made_before(key)

    def _may_stay(self, stream: Stream) -> bool:
        """Return whether a stream may lie where it does. What this node made in a former life skips the reach, as it
        does when it is taken over and at each lookup.
        """
        if self._vips.accept(stream.terms)[1] == stream.vip:
            return True
        return self._vips.made_before(stream.key) and self._vips.inherit(stream.terms)[1] == stream.vip

    def _empty(self, stream: Stream, now: float, version: int = 0) -> None:
        self._report(stream.vip, self._cache.drop_stream(stream), now, version)

    def _forget(self, stream: Stream, now: float, version: int = 0) -> None:
        self._empty(stream, now, version)
        self._cache.streams.drop(stream)

    def _report(self, vip: str, sessions: int, now: float, version: int = 0) -> None:
        """Count and tell what was taken back, by another node's version of the VIP's policy or by the one here."""
        if not sessions:
            return
        served = self._vips.get(vip)
        here = 0 if served is None else served.vip.note.version
        self._recent.append(_Recalled(now, vip, sessions, version or here))
        self._telemetry.counters.vip(vip).recalled += sessions
        self._telemetry.events.add(SessionsRecalled(now, vip, sessions))


def _word_of(record: NodeRecord | None, vip: str) -> _Word | None:
    terms = None if record is None else record.terms_of(vip)
    return None if record is None or terms is None else (terms, record.age)


def _age_of(word: _Word) -> tuple[int, int]:
    return word[1]
