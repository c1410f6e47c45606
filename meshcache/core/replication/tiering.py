"""What goes to the tiers behind memory, and what of theirs is let in again: the core's side, which knows no tier.

Notes what is filed and what has to leave, in bounded queues, on whichever thread that happens; somebody else writes it.
What comes back is judged as what a peer sends is, by the same gates and limits: a tier is believed nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import ceil, inf

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.journal import NamedIds
from meshcache.core.cache.streams import Stream
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.policy.gates import ReachKind, Terms
from meshcache.core.replication.intake import Intake
from meshcache.core.replication.leaving_sessions import LeavingSession, LeavingSessions, Records
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.outlet import Fits
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.values.session import Session
from meshcache.core.wire.tier_record import (
    Border,
    Origin,
    TierRecord,
    batch_of_one_stream,
    write_origin,
    write_record,
)

WAITING_MAX = 65_536
"""Sessions that wait to be written: a second of more than any node makes. Above it they are counted and not written."""

LASTS_S_MIN = 2.0
"""What ends sooner isn't worth writing."""

_ORIGINS_MAX = 4096
"""Streams whose head of a record is remembered; forgotten all at once."""


class Tiering:
    """The queues of what is to go to the tiers, and the way back in for what they kept.

    Does nothing before `begin`: a node without tiers pays one comparison for each session.
    """

    def __init__(
        self, local: LocalNode, cache: SessionCache, vips: ServedVips, intake: Intake, withdraws: Withdraws
    ) -> None:
        self._withdraws = withdraws
        self._local = local
        self._cache = cache
        self._vips = vips
        self._intake = intake
        self._filed: deque[tuple[Stream, Sequence[bytes]]] = deque()
        self._evicted: deque[tuple[Session, Stream, Terms]] = deque()
        self._forgotten: deque[tuple[Border, bytes]] = deque()
        self._over: set[bytes] = set()
        """Ids that were forgotten while sessions waited that memory has no more: theirs may be among those."""
        self._origins: dict[Origin, bytes] = {}
        self._waiting = 0
        self._loading = False
        self.on = False
        """Whether there are tiers."""
        self._new_records: Callable[[], Records] | None = None
        self.skipped = 0
        """Sessions that weren't written, since too many waited."""
        self.removals_lost = 0
        """Sessions that had to leave the tiers and won't, since too many waited."""

    def begin(self, *, everything: bool, new_records: Callable[[], Records] | None = None) -> None:
        """Note from now on what leaves memory to make room, and with `everything` also all that is filed.

        With `new_records`, which the compiled module gives, `take_many` may be used in place of `take`.
        """
        self.on = True
        self._new_records = new_records
        self._cache.call_when_evicted(self._note_evicted)
        self._cache.call_when_filed(self._note_filed if everything else None)

    @property
    def waiting(self) -> int:
        """How many sessions wait to be written."""
        return self._waiting

    @property
    def held(self) -> int:
        """How many sessions are in memory."""
        return len(self._cache)

    @property
    def restored(self) -> int:
        """How many sessions of the VIPs that are served now came from the tiers."""
        return sum(served.counters.restored for served in self._vips)

    def borders(self) -> list[Border]:
        """Return the borders that this node serves VIPs within: what lies in a tier for another is of no use here."""
        return list({_border(terms): None for terms in self._vips.terms})

    def border_of(self, vip: str) -> Border | None:
        """Return where a VIP's sessions belong."""
        served = self._vips.get(vip)
        return None if served is None else _border(served.vip.terms)

    @property
    def revision(self) -> tuple[int, int]:
        """Changes with every change of what this node serves."""
        return self._vips.record.age

    def forget(self, served: ServedVip, session_id: bytes) -> None:
        """Take a session out of the tiers as well, and out of what waits for them."""
        if self.on and len(self._forgotten) < WAITING_MAX:
            self._forgotten.append((_border(served.vip.terms), session_id))
        elif self.on:
            self.removals_lost += 1
        if self._evicted and len(self._over) < WAITING_MAX:
            self._over.add(session_id)

    def sessions_withdrawn(self, ids: Sequence[bytes], fits: Fits) -> None:
        """Let go of what waits and was withdrawn just now; single sessions are taken out of the tiers by their names.

        What names a VIP, a group or a node is found only by reading all that a tier has: that is up to who can.
        """
        if not self.on:
            return
        kept = [each for each in self._evicted if not fits(each[2], each[0])]
        self._waiting -= len(self._evicted) - len(kept)
        self._evicted = deque(kept)
        room = WAITING_MAX - len(self._forgotten)
        named = [(border, session_id) for border in self.borders() for session_id in ids]
        self._forgotten.extend(named[:room])
        self.removals_lost += max(len(named) - room, 0)

    def take_forgotten(self) -> list[tuple[Border, bytes]]:
        """Return what is to be taken out of the tiers since the last call."""
        gone = list(self._forgotten)
        self._forgotten.clear()
        return gone

    def take(self, count: int, now: float, unix_now: float) -> list[LeavingSession]:
        """Return up to about `count` sessions that are to be written; those that are over or gone are left out."""
        offset = unix_now - now
        leaving = self._take_evicted(count, now, offset)
        while self._filed and len(leaving) < count:
            self._add_held(leaving, *self._next_filed(count), now, offset)
        return leaving

    def take_many(self, count: int, now: float, unix_now: float) -> list[LeavingSessions]:
        """Return what `take` does, as records that the compiled cache writes: no copy of one comes to Python."""
        offset = unix_now - now
        many: dict[tuple[Border, bool, bool], LeavingSessions] = {}
        leaving = self._take_evicted(count, now, offset)
        room = count - len(leaving)
        while self._filed and room > 0:
            stream, ids = self._next_filed(room)
            room -= len(ids)
            table = self._cache.vip_cache(stream.vip)
            if table is not None and table is stream.reads:
                some = self._many(many, _border(stream.terms), False, self._stays(stream))
                self._write_held(some, table, stream, ids, now, offset)
            else:
                self._add_held(leaving, stream, ids, now, offset)
        for each in leaving:
            some = self._many(many, each.border, each.evicted, each.stays)
            some.add(each.session_id, each.record, each.lasts_s)
        return [some for some in many.values() if len(some.records)]

    def restore(
        self, records: Iterable[TierRecord], now: float, unix_now: float, *, private: bool, loading: bool
    ) -> None:
        """File what a tier had, as far as today's policies, limits and withdraws allow; each refusal is counted.

        `private` says that nobody but this node, in this and former lives, can have put it there: then its own sessions
        skip the reach, as they do at each lookup. `loading` keeps what is filed from being noted as new.
        """
        by_origin: dict[int, list[TierRecord]] = {}
        for record in records:
            # The reader gives one object for all of a stream; a second one that is equal makes a second batch.
            by_origin.setdefault(id(record.origin), []).append(record)
        self._loading = loading
        try:
            for some in by_origin.values():
                origin = some[0].origin
                inherited = private or self._is_ours(origin)
                batch = batch_of_one_stream(some, unix_now, self._lifetime_of(origin.terms, inherited))
                own = inherited and origin.terms.node == self._local.identity.node
                self._intake.take(batch, now, own=own or private, whole=False, inherited=inherited, restored=True)
                if own and private:
                    self._count_as_made_here(origin.incarnation)
        finally:
            self._loading = False

    def withdrawn(self, records: Sequence[TierRecord], now: float, unix_now: float) -> list[int]:
        """Return the indices of those that a withdraw is about."""
        if not self._withdraws:
            return []
        return [
            at
            for at, record in enumerate(records)
            if self._withdraws.places(
                record.origin.terms, (record.session_id,), (max(ceil(unix_now - record.born_unix), 0),), now
            )
        ]

    def staying(self, records: Sequence[TierRecord]) -> list[int]:
        """Return the indices of those that no tier may have that others read: what was made under the reach "server",
        and what this node made for a VIP that has it now. Another's are its own to take out.
        """
        node = self._local.identity.node
        stay = {terms.vip for terms in self._vips.terms if terms.reach.kind is ReachKind.SERVER}
        return [
            at
            for at, terms in enumerate(record.origin.terms for record in records)
            if terms.reach.kind is ReachKind.SERVER or (terms.node == node and terms.vip in stay)
        ]

    def _lifetime_of(self, terms: Terms, inherited: bool) -> float:
        """Return how old sessions may get in the VIP that these would be filed under."""
        _, vip = self._vips.inherit(terms) if inherited else self._vips.accept(terms)
        served = self._vips.get(vip)
        return inf if served is None else served.vip.lifetime_s

    def _is_ours(self, origin: Origin) -> bool:
        """Return whether this process made it, under any number of its life."""
        return any(
            origin.terms.node == served.stream.key.origin
            and (origin.incarnation == served.stream.key.incarnation or origin.incarnation in served.former)
            for served in self._vips
        )

    def _count_as_made_here(self, incarnation: int) -> None:
        for served in self._vips:
            if incarnation != served.stream.key.incarnation and incarnation not in served.former:
                served.former |= {incarnation}

    def _note_filed(self, stream: Stream, ids: Sequence[bytes]) -> None:
        if self._loading:
            return
        if self._waiting + len(ids) > WAITING_MAX:
            self.skipped += len(ids)
            return
        self._waiting += len(ids)
        self._filed.append((stream, ids))

    def _note_evicted(self, session: Session, stream: Stream) -> None:
        if self._waiting >= WAITING_MAX:
            self.skipped += 1
            return
        self._waiting += 1
        self._evicted.append((session, stream, stream.terms))

    def _take_evicted(self, count: int, now: float, offset: float) -> list[LeavingSession]:
        leaving: list[LeavingSession] = []
        while self._evicted and len(leaving) < count:
            self._waiting -= 1
            session, stream, terms = self._evicted.popleft()
            moved = _border(stream.terms) != _border(terms)  # what is in memory is gone then
            if not moved and session.id not in self._over:
                self._add(leaving, session, stream, now, offset, evicted=True)
        if not self._evicted:
            self._over.clear()
        return leaving

    def _next_filed(self, count: int) -> tuple[Stream, Sequence[bytes]]:
        stream, ids = self._filed.popleft()
        some, rest = ids[:count], ids[count:]
        if rest:
            self._filed.appendleft((stream, rest))
        self._waiting -= len(some)
        return stream, some

    def _add_held(
        self, leaving: list[LeavingSession], stream: Stream, ids: Sequence[bytes], now: float, offset: float
    ) -> None:
        """Add those that are still here, as this stream's: what came again as another's was noted again."""
        for session_id in ids:
            held = self._cache.peek(stream.vip, session_id)
            if held is not None and held.stream == stream.key:
                self._add(leaving, held, stream, now, offset, evicted=False)

    def _write_held(
        self, records: Records, table: object, stream: Stream, ids: Sequence[bytes], now: float, offset: float
    ) -> None:
        """Do as `_add_held` does, in the compiled module."""
        certified, lifetime_s = self._leave_as(stream)
        told = stream.index, self._origin_of(stream), self._cache.epoch, now, offset, lifetime_s, LASTS_S_MIN, certified
        if isinstance(ids, NamedIds):
            records.add_named(table, ids.names, ids.first, *told)
        else:
            records.add_from(table, ids, *told)

    def _many(
        self, many: dict[tuple[Border, bool, bool], LeavingSessions], border: Border, evicted: bool, stays: bool
    ) -> Records:
        found = many.get((border, evicted, stays))
        if found is None:
            assert self._new_records is not None, "`begin` was given it"
            found = many[border, evicted, stays] = LeavingSessions(border, self._new_records(), evicted, stays)
        return found.records

    def _stays(self, stream: Stream) -> bool:
        """Return whether a stream's sessions may go to no other node: by the terms they were made under, or by those
        that their VIP has now.
        """
        served = self._vips.get(stream.vip)
        terms = (stream.terms,) if served is None else (stream.terms, served.vip.terms)
        return any(each.reach.kind is ReachKind.SERVER for each in terms)

    def _leave_as(self, stream: Stream) -> tuple[bool, float]:
        """Return whether a stream's sessions under a client certificate may leave, and how long its VIP's last."""
        served = self._vips.get(stream.vip)
        if served is None:
            return True, inf
        return served.vip.export_client_certificates, served.vip.lifetime_s

    def _add(
        self,
        leaving: list[LeavingSession],
        session: Session,
        stream: Stream,
        now: float,
        offset: float,
        *,
        evicted: bool,
    ) -> None:
        """Sessions without a number stay on their server, and in its memory."""
        lasts_s = session.expires_at - now
        if not session.seq or lasts_s < LASTS_S_MIN:
            return
        certified, lifetime_s = self._leave_as(stream)
        if session.client_certificate and not certified:
            return  # it has a number of the time when its VIP exported them
        record = write_record(session, self._origin_of(stream), offset, lifetime_s)
        border, stays = _border(stream.terms), self._stays(stream)
        leaving.append(LeavingSession(border, session.id, record, lasts_s, evicted, stays))

    def _origin_of(self, stream: Stream) -> bytes:
        age = max(stream.age, (stream.key.incarnation, 0))
        origin = Origin(stream.terms, stream.key.incarnation, age)
        known = self._origins.get(origin)
        if known is None:
            if len(self._origins) >= _ORIGINS_MAX:
                self._origins.clear()
            known = self._origins[origin] = write_origin(origin)
        return known


def _border(terms: Terms) -> Border:
    return Border(terms.group, terms.digest)
