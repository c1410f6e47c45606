"""The bounded local session cache: one part for each VIP, least recently used out first, every step O(1) amortised.

Decides nothing about sharing and checks no expiry at a lookup: `mesh` asks the policy and the clock.
Not locked here: `node` owns the one lock that handshakes and the pump share.

An entry is one bytes object, a 21-byte head before the DER. At 200,000 sessions that is what keeps an entry near 330
bytes with its id; an object for each would add 200.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import partial
from math import floor

from meshcache.core.cache.entry import ENTRY_OVERHEAD_BYTES, HEAD, HEAD_BYTES, Entries, pack_head
from meshcache.core.cache.streams import Stream, StreamTable
from meshcache.core.cache.vip_cache import NamingEntries, Sweep, VipCache, VipEntries
from meshcache.core.values.session import DER_BYTES_MAX, SEQ_MAX, SESSION_ID_BYTES_MAX, Session, StreamKey

COST_MAX = SESSION_ID_BYTES_MAX + DER_BYTES_MAX + ENTRY_OVERHEAD_BYTES
"""Of any entry; a part smaller than that looks at each."""

_session: Callable[[tuple[bytes, bytes, StreamKey, int, float, float, bool]], Session] = partial(tuple.__new__, Session)
"""What ``Session(...)`` does, without its call of Python's: each lookup makes one, and calling costs it 0.4 us."""


_PLACES = 4
"""Places of the compiled cache looked at in place of each entry: many are empty, and looking takes nanoseconds."""


class PutResult(Enum):
    """What became of an entry that was offered to the cache."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    """Another DER is filed under this id; sessions are immutable, so the first one stays."""
    TOO_LARGE = "too_large"
    NO_QUOTA = "no_quota"
    """The VIP has no part of this cache, or a part smaller than this one entry."""


class SessionCache:
    """Sessions by VIP and id. ``make_vip_cache`` makes a VIP's part of it, with its bounds of bytes and sessions."""

    def __init__(
        self,
        streams: StreamTable,
        now: float,
        make_vip_cache: Callable[[int, int], VipEntries] = VipCache,
    ) -> None:
        self.streams = streams
        """Who made what is here: entries never outlive their stream."""
        self.epoch = now
        """The moment that times in entries count from."""
        self.on_file: Callable[[Stream, Sequence[bytes]], None] | None = None
        self.on_evict: Callable[[Session, Stream], None] | None = None
        """Who is told, to look at, and to tell where something else files: see `call_when_filed`, `call_when_evicted`.
        """
        self._make_vip_cache = make_vip_cache
        self._vip_caches: dict[str, VipEntries] = {}
        self._sweep = Sweep()

    def __len__(self) -> int:
        return sum(len(vip_cache) for vip_cache in self._vip_caches.values())

    def call_when_evicted(self, note: Callable[[Session, Stream], None] | None) -> None:
        """Have this called with each entry that leaves to make room, so that a tier can have it; None: nothing."""
        self.on_evict = note

    def call_when_filed(self, note: Callable[[Stream, Sequence[bytes]], None] | None) -> None:
        """Have this called with the stream and the ids of what was filed just now, but of what is not for tiers; None:
        nothing.
        """
        self.on_file = note

    @property
    def bytes_used(self) -> int:
        """Memory in use by entries, by the same estimate that quotas are held to."""
        return sum(vip_cache.bytes for vip_cache in self._vip_caches.values())

    def vip_cache(self, vip: str) -> VipEntries | None:
        """Return a VIP's part of the cache, to read its counters."""
        return self._vip_caches.get(vip)

    def set_quota(self, vip: str, bytes_max: int, sessions_max: int) -> None:
        """Give a VIP its part, or change it; entries over a smaller one are evicted at once."""
        vip_cache = self._vip_caches.get(vip)
        if vip_cache is None:
            vip_cache = self._vip_caches[vip] = self._make_vip_cache(bytes_max, sessions_max)
        vip_cache.bytes_max, vip_cache.sessions_max = bytes_max, sessions_max
        self.make_room(vip_cache)

    def renew(self) -> None:
        """Let no verdict hold that was given before, wherever it is remembered: terms have changed."""
        for vip_cache in self._vip_caches.values():
            vip_cache.renew()

    def drop_vip(self, vip: str) -> int:
        """Take a VIP's part away with all its entries. Return how many there were."""
        vip_cache = self._vip_caches.get(vip)
        if vip_cache is None:
            return 0
        ids = vip_cache.ids()
        for session_id in ids:
            self.remove(vip, session_id)
        del self._vip_caches[vip]
        return len(ids)

    def put(
        self,
        stream: Stream,
        seq: int,
        session_id: bytes,
        der: bytes,
        expires_at: float,
        born_at: float,
        client_certificate: bool = False,
        *,
        at_own_cost: bool = False,
        for_tiers: bool = True,
    ) -> PutResult:
        """File an entry under its stream's VIP, as the youngest, and return what became of it; evicts the oldest of the
        same VIP to make room.

        With `seq` 0 it is found by its id only, never through its stream, so it can't leave this node. `at_own_cost`
        makes room as `put_many` does, and without `for_tiers` nobody is told.
        """
        vip_cache = self._vip_caches.get(stream.vip)
        if not (0 < len(session_id) <= SESSION_ID_BYTES_MAX and 0 < len(der) <= DER_BYTES_MAX):
            return PutResult.TOO_LARGE
        if vip_cache is None or not vip_cache.fits(len(session_id) + len(der) + ENTRY_OVERHEAD_BYTES):
            return PutResult.NO_QUOTA
        known = vip_cache.peek(session_id)
        if known is not None:
            return PutResult.DUPLICATE if known[HEAD_BYTES:] == der else PutResult.CONFLICT
        if stream.filed_in is not vip_cache:
            stream.file_in(vip_cache)
        head = pack_head(stream.index, seq, expires_at - self.epoch, born_at - self.epoch, client_certificate)
        vip_cache.put(session_id, head + der)
        if seq:
            stream.entries.add(seq, session_id)
        stream.cached += 1
        if self.on_file is not None and for_tiers:
            self.on_file(stream, (session_id,))
        if vip_cache.over():
            self.make_room(vip_cache, stream if at_own_cost else None)
        return PutResult.STORED

    def put_many(
        self, stream: Stream, entries: Entries, now: float, *, at_own_cost: bool = True, for_tiers: bool = True
    ) -> dict[PutResult, int]:
        """File a batch under its stream's VIP. Return counts by `PutResult`.

        Where the VIP's part is full, a stream that holds more than half of it loses its own oldest: a peer that floods
        can't push out everyone else's. Without `at_own_cost` the least recently used goes, whosever it is: what a tier
        gives back may be the oldest of its stream. Without `for_tiers` nobody is told. Lengths are not checked
        here: the decoder did.
        """
        vip_cache = self._vip_caches.get(stream.vip)
        ids, count = entries.ids, len(entries.ids)
        if vip_cache is None:
            return {PutResult.NO_QUOTA: count}
        if vip_cache.holds_any(ids) or len(set(ids)) < count or not vip_cache.fits(COST_MAX):
            return self._put_each(stream, entries, now, at_own_cost, for_tiers)
        if stream.filed_in is not vip_cache:
            stream.file_in(vip_cache)
        vip_cache.put_many(stream.index, entries, floor(now - self.epoch))
        self._note(stream, entries)
        if self.on_file is not None and for_tiers:
            self.on_file(stream, ids)
        if vip_cache.over():
            self.make_room(vip_cache, stream if at_own_cost else None)
        return {PutResult.STORED: count}

    def get(self, vip: str, session_id: bytes) -> tuple[Session, Stream] | None:
        """Return the entry of this VIP, which becomes the youngest, and its stream. It may have expired: check."""
        vip_cache = self._vip_caches.get(vip)
        packed = None if vip_cache is None else vip_cache.get(session_id)
        return None if packed is None else self._unpack(session_id, packed)

    def peek(self, vip: str, session_id: bytes) -> Session | None:
        """Return the entry of this VIP without counting as use: for repair, snapshots and views."""
        vip_cache = self._vip_caches.get(vip)
        packed = None if vip_cache is None else vip_cache.peek(session_id)
        return None if packed is None else self._unpack(session_id, packed)[0]

    def holds(self, vip: str, session_id: bytes) -> bool:
        """Return whether there is an entry. Safe while another thread changes the cache: it is two reads of dicts."""
        vip_cache = self._vip_caches.get(vip)
        return vip_cache is not None and session_id in vip_cache

    def remove(self, vip: str, session_id: bytes) -> bool:
        """Forget an entry. Return whether it was there."""
        vip_cache = self._vip_caches.get(vip)
        packed = None if vip_cache is None else vip_cache.pop(session_id)
        if packed is None:
            return False
        self._forget(packed)
        return True

    def expire(self, now: float, budget: int) -> int:
        """Look at up to `budget` entries of one VIP, in turn over calls, and forget the expired. Return how many.

        Bounds how long the secrets of a session outlive it when nobody asks for it and nothing needs its room.
        """
        due = floor(now - self.epoch)
        naming = [vip_cache for vip_cache in self._vip_caches.values() if isinstance(vip_cache, NamingEntries)]
        others = [vip_cache for vip_cache in self._vip_caches.values() if vip_cache not in naming]
        over = [(each, gone) for each in naming for gone in each.over_by(due, -(-budget * _PLACES // len(naming)))]
        return sum(
            self._expire(vip_cache, session_id, due)
            for vip_cache, session_id in (*over, *self._sweep.take(others, budget))
        )

    def _expire(self, vip_cache: VipEntries, session_id: bytes, due: int) -> bool:
        packed = vip_cache.peek(session_id)
        if packed is None or HEAD.unpack_from(packed)[2] > due:
            return False
        vip_cache.pop(session_id)
        self._forget(packed)
        return True

    def sessions(self, vip: str) -> Iterator[Session]:
        """Yield all entries of a VIP, oldest use first; the cache must not change meanwhile."""
        vip_cache = self._vip_caches.get(vip)
        for session_id, packed in vip_cache.items() if vip_cache is not None else ():
            yield self._unpack(session_id, packed)[0]

    def shorten(self, vip: str, old_s: float, new_s: float, now: float) -> int:
        """Cut entries to a VIP's lifetime that went from `old_s` to `new_s`. Return how many are gone at once.

        An entry doesn't say when it was made. It was after its lineage began and, if this VIP's old lifetime limited
        it, `old_s` before it ends: the later of the two counts.
        """
        vip_cache = self._vip_caches.get(vip)
        due, ends = floor(now - self.epoch), []
        for session_id, packed in vip_cache.items() if vip_cache is not None else ():
            index, seq, expiry, birth, certified = HEAD.unpack_from(packed)
            until = floor(max(birth + new_s, expiry - old_s + new_s))
            if until < expiry:
                ends.append((session_id, pack_head(index, seq, until, birth, certified), until <= due))
        for session_id, head, over in ends:
            if over:
                self.remove(vip, session_id)
            elif vip_cache is not None:
                vip_cache.rehead(session_id, head)
        return sum(over for *_, over in ends)

    def drop_stream(self, stream: Stream) -> int:
        """Forget all entries of a stream. Return how many there were.

        The journal names nearly all of them; only for those that it can't is every entry of the VIP looked at.
        """
        vip_cache = self._vip_caches.get(stream.vip)
        held = stream.cached
        for _, session_id in list(stream.entries.downwards(SEQ_MAX + 1)):
            self.remove(stream.vip, session_id)
        if vip_cache is not None and stream.cached:
            heads = ((session_id, HEAD.unpack_from(packed)) for session_id, packed in vip_cache.items())
            for session_id in [session_id for session_id, head in heads if head[0] == stream.index]:
                self.remove(stream.vip, session_id)
        return held

    def _put_each(
        self, stream: Stream, entries: Entries, now: float, at_own_cost: bool, for_tiers: bool
    ) -> dict[PutResult, int]:
        ends: dict[PutResult, int] = {}
        second = self.epoch + floor(now - self.epoch)
        for seq, session_id, der, remaining, elapsed, certified in entries.rows():
            expires_at, born_at = second + remaining, second - elapsed
            how = {"at_own_cost": at_own_cost, "for_tiers": for_tiers}
            end = self.put(stream, seq, session_id, der, expires_at, born_at, bool(certified), **how)
            ends[end] = ends.get(end, 0) + 1
        return ends

    def _note(self, stream: Stream, entries: Entries) -> None:
        stream.cached += len(entries.ids)
        if entries.seqs[-1] - entries.seqs[0] == len(entries.seqs) - 1:
            stream.entries.extend(entries.seqs[0], entries.ids)
            return
        for seq, session_id in zip(entries.seqs, entries.ids, strict=True):
            stream.entries.add(seq, session_id)

    def make_room(self, vip_cache: VipEntries, stream: Stream | None = None) -> None:
        """Evict until a VIP's part holds what it may: the oldest of this stream, as long as it holds more than half of
        the part, else the least recently used.
        """
        while vip_cache.over():
            own = stream.entries.oldest() if stream and stream.cached * 2 > len(vip_cache) else None
            session_id = vip_cache.oldest() if own is None else own
            packed = vip_cache.pop(session_id)
            assert packed is not None, "victims and journals name entries only"
            vip_cache.evicted += 1
            self._forget(packed)
            if self.on_evict is not None:
                self.on_evict(*self._unpack(session_id, packed))

    def _forget(self, packed: bytes) -> None:
        index, seq, _, _, _ = HEAD.unpack_from(packed)
        stream = self.streams.at(index)
        stream.entries.remove(seq)
        stream.cached -= 1

    def _unpack(self, session_id: bytes, packed: bytes) -> tuple[Session, Stream]:
        index, seq, expiry, birth, certified = HEAD.unpack_from(packed)
        stream, epoch = self.streams.at(index), self.epoch
        fields = (session_id, packed[HEAD_BYTES:], stream.key, seq, epoch + expiry, epoch + birth, certified == 1)
        return _session(fields), stream
