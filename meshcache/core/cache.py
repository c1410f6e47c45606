"""The bounded local session cache: one share for each VIP, least recently used out first, every step O(1) amortised.

Decides nothing about sharing and checks no expiry at a lookup: `mesh` asks the policy and the clock.
Not locked here: `node` owns the one lock that handshakes and the pump share.

An entry is one bytes object, a 20-byte header before the DER. At 200,000 sessions that is what keeps an entry near 330
bytes with its id; an object for each would add 200.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import islice
from math import floor
from struct import Struct

from meshcache.core.session import DER_BYTES_MAX, SESSION_ID_BYTES_MAX, Session
from meshcache.core.streams import Stream, StreamTable

_HEADER = Struct("<IQii")
"""Stream index, sequence number, expiry and lineage birth in whole seconds since this cache was made."""

ENTRY_OVERHEAD_BYTES = 192
"""What an entry takes beside its id and its DER: two object headers, the header above, a dict slot at a typical load
and a journal slot. Measured by ``benchmarks/memory.py``; it makes ``max_bytes`` a bound on memory, not on payload."""

_VICTIMS = 1024
"""Entries looked up at a time as next to be evicted, so that skipping the dict's deleted slots is paid for once."""

_T_MAX = 2**31 - 1


class Put(Enum):
    """What became of an entry that was offered to the cache."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    """Another DER is filed under this id; sessions are immutable, so the first one stays."""
    TOO_LARGE = "too_large"
    NO_QUOTA = "no_quota"
    """The VIP has no share of this cache, or a share smaller than this one entry."""


class Share:
    """One VIP's part of the cache: its entries in order of use, and its limits."""

    __slots__ = ("_victims", "bytes", "bytes_max", "entries", "evicted", "sessions_max")

    def __init__(self, bytes_max: int, sessions_max: int) -> None:
        self.bytes_max = bytes_max
        self.sessions_max = sessions_max
        self.bytes = 0
        self.evicted = 0
        self.entries: dict[bytes, bytes] = {}
        self._victims: OrderedDict[bytes, None] = OrderedDict()

    def put(self, session_id: bytes, packed: bytes) -> None:
        self.entries[session_id] = packed
        self.bytes += cost(session_id, packed)

    def get(self, session_id: bytes) -> bytes | None:
        packed = self.entries.pop(session_id, None)
        if packed is not None:
            self.entries[session_id] = packed  # a dict keeps the order of insertion: this makes it the youngest
            self._victims.pop(session_id, None)
        return packed

    def pop(self, session_id: bytes) -> bytes | None:
        packed = self.entries.pop(session_id, None)
        if packed is not None:
            self.bytes -= cost(session_id, packed)
            self._victims.pop(session_id, None)
        return packed

    def fits(self, entry_bytes: int) -> bool:
        """Whether an entry of this cost can be here at all, with every other one gone."""
        return entry_bytes <= self.bytes_max and self.sessions_max > 0

    def over(self) -> bool:
        return self.bytes > self.bytes_max or len(self.entries) > self.sessions_max

    def oldest(self) -> bytes:
        """The id that was used longest ago."""
        if not self._victims:
            self._victims.update(dict.fromkeys(islice(self.entries, _VICTIMS)))
        return next(iter(self._victims))


class _Sweep:
    """Walks through all entries, one share after the other, a few at a time.

    What is filed meanwhile is met in the next round. A share's turn begins with a copy of its ids, which takes about a
    millisecond for 200,000 of them; a copy of all shares' entries with their shares would take forty.
    """

    def __init__(self) -> None:
        self._waiting: list[Share] = []
        self._share: Share | None = None
        self._ids: list[bytes] = []

    def take(self, shares: Iterable[Share], budget: int) -> Iterator[tuple[Share, bytes]]:
        """Up to `budget` of the ids whose turn it is, with their share; some may have left it since."""
        if not self._ids:
            self._waiting = self._waiting or [share for share in shares if share.entries]
            self._share = self._waiting.pop() if self._waiting else None
            self._ids = list(self._share.entries) if self._share else []
        at = max(len(self._ids) - budget, 0)
        session_ids = self._ids[at:]
        del self._ids[at:]
        for session_id in session_ids:
            assert self._share is not None, "ids come from a share"
            yield self._share, session_id


class SessionCache:
    """Sessions by VIP and id.

    ``on_drop`` is called with each entry that leaves to make room, so that a second tier can have it.
    """

    def __init__(self, streams: StreamTable, now: float, on_drop: Callable[[Session], None] | None = None) -> None:
        self._streams = streams
        self._epoch = now
        self._on_drop = on_drop
        self._shares: dict[str, Share] = {}
        self._sweep = _Sweep()

    def __len__(self) -> int:
        return sum(len(share.entries) for share in self._shares.values())

    @property
    def bytes_used(self) -> int:
        """Memory in use by entries, by the same estimate that quotas are held to."""
        return sum(share.bytes for share in self._shares.values())

    def share(self, vip: str) -> Share | None:
        """A VIP's share, to read its counters."""
        return self._shares.get(vip)

    def set_quota(self, vip: str, bytes_max: int, sessions_max: int) -> None:
        """Give a VIP its share, or change it; entries over a smaller one are evicted at once."""
        share = self._shares.setdefault(vip, Share(bytes_max, sessions_max))
        share.bytes_max, share.sessions_max = bytes_max, sessions_max
        self._make_room(share)

    def drop_vip(self, vip: str) -> int:
        """Take a VIP's share away with all its entries; says how many there were."""
        share = self._shares.get(vip)
        if share is None:
            return 0
        ids = list(share.entries)
        for session_id in ids:
            self.remove(vip, session_id)
        del self._shares[vip]
        return len(ids)

    def put(self, stream: Stream, seq: int, session_id: bytes, der: bytes, expires_at: float, born_at: float) -> Put:
        """File an entry under its stream's VIP, as the youngest; evicts the oldest of the same VIP to make room."""
        share = self._shares.get(stream.vip)
        if not (0 < len(session_id) <= SESSION_ID_BYTES_MAX and 0 < len(der) <= DER_BYTES_MAX):
            return Put.TOO_LARGE
        if share is None or not share.fits(len(session_id) + len(der) + ENTRY_OVERHEAD_BYTES):
            return Put.NO_QUOTA
        known = share.entries.get(session_id)
        if known is not None:
            return Put.DUPLICATE if known[_HEADER.size :] == der else Put.CONFLICT
        share.put(session_id, self._pack(stream, seq, expires_at, born_at) + der)
        stream.entries.add(seq, session_id)
        stream.cached += 1
        if share.over():
            self._make_room(share)
        return Put.STORED

    def get(self, vip: str, session_id: bytes) -> Session | None:
        """The entry of this VIP, which becomes the youngest; expired ones too, for the caller to judge and remove."""
        share = self._shares.get(vip)
        packed = None if share is None else share.get(session_id)
        return None if packed is None else self._unpack(session_id, packed)

    def peek(self, vip: str, session_id: bytes) -> Session | None:
        """The entry of this VIP without counting as use: for repair, snapshots and views."""
        share = self._shares.get(vip)
        packed = None if share is None else share.entries.get(session_id)
        return None if packed is None else self._unpack(session_id, packed)

    def remove(self, vip: str, session_id: bytes) -> bool:
        """Forget an entry; says whether it was there."""
        share = self._shares.get(vip)
        packed = None if share is None else share.pop(session_id)
        if packed is None:
            return False
        self._forget(packed)
        return True

    def expire(self, now: float, budget: int) -> int:
        """Look at up to `budget` entries of one VIP, in turn over calls, and forget the expired; says how many.

        Bounds how long the secrets of a session outlive it when nobody asks for it and nothing needs its room.
        """
        due = floor(now - self._epoch)
        gone = 0
        for share, session_id in self._sweep.take(self._shares.values(), budget):
            packed = share.entries.get(session_id)
            if packed is not None and _HEADER.unpack_from(packed)[2] <= due:
                share.pop(session_id)
                self._forget(packed)
                gone += 1
        return gone

    def sessions(self, vip: str) -> Iterator[Session]:
        """All entries of a VIP, oldest use first; the cache must not change meanwhile."""
        share = self._shares.get(vip)
        for session_id, packed in share.entries.items() if share else ():
            yield self._unpack(session_id, packed)

    def _make_room(self, share: Share) -> None:
        while share.over():
            session_id = share.oldest()
            packed = share.pop(session_id)
            assert packed is not None, "victims are always entries"
            share.evicted += 1
            self._forget(packed)
            if self._on_drop is not None:
                self._on_drop(self._unpack(session_id, packed))

    def _forget(self, packed: bytes) -> None:
        index, seq, _, _ = _HEADER.unpack_from(packed)
        stream = self._streams.at(index)
        stream.entries.remove(seq)
        stream.cached -= 1

    def _pack(self, stream: Stream, seq: int, expires_at: float, born_at: float) -> bytes:
        return _HEADER.pack(stream.index, seq, self._seconds(expires_at), self._seconds(born_at))

    def _seconds(self, at: float) -> int:
        """Whole seconds since the epoch, clamped to the header's 32 bits; rounding down never prolongs a session."""
        return floor(max(min(at - self._epoch, _T_MAX), -_T_MAX))

    def _unpack(self, session_id: bytes, packed: bytes) -> Session:
        index, seq, expiry, birth = _HEADER.unpack_from(packed)
        stream = self._streams.at(index)
        return Session(session_id, packed[_HEADER.size :], stream.key, seq, self._epoch + expiry, self._epoch + birth)


def cost(session_id: bytes, packed: bytes) -> int:
    """Bytes of memory that one entry is charged with."""
    return len(session_id) + len(packed) - _HEADER.size + ENTRY_OVERHEAD_BYTES
