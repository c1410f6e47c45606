"""One VIP's part of the cache, and a walk through all parts: entries in order of use, within a maximum.

Knows entries as bytes only; `cache` knows what is in them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeAlias, runtime_checkable

from meshcache.core.cache.entry import ENTRY_OVERHEAD_BYTES, HEAD_BYTES, Entries, cost, pack_many
from meshcache.core.cache.journal import Journal

_VICTIMS = 1024
"""Entries looked up at a time as next to be evicted, so that skipping the dict's deleted slots is paid for once."""

_BESIDE_BYTES = ENTRY_OVERHEAD_BYTES - HEAD_BYTES


Octets: TypeAlias = bytes
"""The type, where `bytes` is a count."""


class VipEntries(Protocol):
    """One VIP's part of the cache: its entries in order of use, and its limits. `VipCache` is one.

    Another may be read and added to by handshakes without the interpreter: those additions are not seen here until they
    are put in under their id as well.
    """

    bytes_max: int
    sessions_max: int
    evicted: int

    @property
    def bytes(self) -> int:
        """What its entries are charged with."""

    def __len__(self) -> int: ...

    def __contains__(self, session_id: object) -> bool: ...

    def put(self, session_id: Octets, packed: Octets) -> None:
        """File an entry as the youngest."""

    def put_many(self, stream: int, entries: Entries, second: int) -> None:
        """File a batch, none of whose ids is here, when it is `second` seconds since the cache was made."""

    def get(self, session_id: Octets) -> Octets | None:
        """Return the entry, which counts as used."""

    def peek(self, session_id: Octets) -> Octets | None:
        """Return the entry, which doesn't count as used."""

    def pop(self, session_id: Octets) -> Octets | None:
        """Take the entry out."""

    def rehead(self, session_id: Octets, head: Octets) -> None:
        """Give an entry another head; it keeps its place."""

    def holds_any(self, ids: Sequence[Octets]) -> bool:
        """Return whether one of these ids is here."""

    def oldest(self) -> Octets:
        """Return the id that was used longest ago."""

    def ids(self) -> list[Octets]:
        """Return all ids, oldest use first; a copy."""

    def items(self) -> Iterable[tuple[Octets, Octets]]:
        """Return all ids with their entries, oldest use first. Nothing may change meanwhile."""

    def renew(self) -> None:
        """Let no verdict hold that was given about this VIP, or about streams that may resume on it."""

    def fits(self, entry_bytes: int) -> bool:
        """Return whether an entry of this cost can be here at all, with every other one gone."""

    def over(self) -> bool:
        """Return whether it holds more than it may."""


@runtime_checkable
class NamingEntries(VipEntries, Protocol):
    """The compiled part of a cache: it also files pushes from their bytes, and finds ids by names of eight bytes."""

    def file_push(
        self,
        payload: Octets,
        envelope: Octets,
        head: Octets,
        stream: int,
        next_seq: int,
        second: int,
        lineage_s: float,
        lifetime_s: int,
    ) -> tuple[int, int, int, Octets] | None:
        """File what a push holds that begins with `envelope`, has `head` for its stream and begins with `next_seq`.

        Returns its last number, how many entries there are, their age in microseconds and their names. None, with
        nothing filed, for whatever is unusual or wrong about it, and when an id is here already.
        """

    def keep_made(self, ids: list[Octets], stream: int, first_seq: int) -> Octets:
        """Let the core see what handshakes added for a stream, numbered from `first_seq` upwards, up to the first that
        isn't there.

        Returns the names of those that were.
        """

    def over_by(self, second: int, budget: int) -> Sequence[Octets]:
        """Look at the next places, up to `budget`, and return the ids of entries that end by this second."""

    def name_of(self, session_id: Octets) -> int:
        """Return the name of an id."""

    def id_of(self, name: int, stream: int, seq: int) -> Octets | None:
        """Return the id of an entry that is here, by its name and its place in its stream."""


def journal_of(entries: VipEntries, stream: int) -> Journal:
    """Return a journal for a stream whose entries are filed here."""
    if not isinstance(entries, NamingEntries):
        return Journal()
    return Journal(entries.name_of, lambda name, seq: entries.id_of(name, stream, seq))


class VipCache:
    """One VIP's part of the cache in Python: a dict, whose order is that of use."""

    __slots__ = ("_victims", "bytes", "bytes_max", "entries", "evicted", "sessions_max")

    def __init__(self, bytes_max: int, sessions_max: int) -> None:
        self.bytes_max = bytes_max
        self.sessions_max = sessions_max
        self.bytes = 0
        self.evicted = 0
        self.entries: dict[bytes, bytes] = {}
        self._victims: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, session_id: object) -> bool:
        return session_id in self.entries

    def put(self, session_id: bytes, packed: bytes) -> None:
        self.entries[session_id] = packed
        self.bytes += len(session_id) + len(packed) + _BESIDE_BYTES  # `cost`, without a call

    def put_many(self, stream: int, entries: Entries, second: int) -> None:
        packed = pack_many(stream, entries, second)
        self.entries.update(zip(entries.ids, packed, strict=True))
        self.bytes += sum(map(len, entries.ids)) + sum(map(len, packed)) + len(packed) * _BESIDE_BYTES

    def get(self, session_id: bytes) -> bytes | None:
        packed = self.entries.pop(session_id, None)
        if packed is not None:
            self.entries[session_id] = packed  # a dict keeps the order of insertion: this makes it the youngest
            self._victims.pop(session_id, None)
        return packed

    def peek(self, session_id: bytes) -> bytes | None:
        return self.entries.get(session_id)

    def pop(self, session_id: bytes) -> bytes | None:
        packed = self.entries.pop(session_id, None)
        if packed is not None:
            self.bytes -= cost(session_id, packed)
            self._victims.pop(session_id, None)
        return packed

    def rehead(self, session_id: bytes, head: bytes) -> None:
        packed = self.entries.get(session_id)
        if packed is not None:
            self.entries[session_id] = head + packed[HEAD_BYTES:]  # a key that is there keeps its place

    def holds_any(self, ids: Sequence[bytes]) -> bool:
        return not self.entries.keys().isdisjoint(ids)

    def ids(self) -> list[bytes]:
        return list(self.entries)

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        return self.entries.items()

    def renew(self) -> None:
        """Nobody else keeps verdicts: each lookup asks."""

    def fits(self, entry_bytes: int) -> bool:
        return entry_bytes <= self.bytes_max and self.sessions_max > 0

    def over(self) -> bool:
        return self.bytes > self.bytes_max or len(self.entries) > self.sessions_max

    def oldest(self) -> bytes:
        if not self._victims:
            self._victims.update(dict.fromkeys(islice(self.entries, _VICTIMS)))
        return next(iter(self._victims))


class Sweep:
    """Walks through all entries, one VIP after the other, a few at a time.

    What is filed meanwhile is met in the next round. A VIP's turn begins with a copy of its ids, which takes about a
    millisecond for 200,000 of them; a copy of all entries would take forty.
    """

    def __init__(self) -> None:
        self._waiting: list[VipEntries] = []
        self._vip_cache: VipEntries | None = None
        self._ids: list[bytes] = []

    def take(self, vip_caches: Iterable[VipEntries], budget: int) -> Iterator[tuple[VipEntries, bytes]]:
        """Return up to `budget` of the ids whose turn it is, with the part they are in; some may have left since."""
        if not self._ids:
            self._waiting = self._waiting or [vip_cache for vip_cache in vip_caches if len(vip_cache)]
            self._vip_cache = self._waiting.pop() if self._waiting else None
            self._ids = self._vip_cache.ids() if self._vip_cache is not None else []
        at = max(len(self._ids) - budget, 0)
        session_ids = self._ids[at:]
        del self._ids[at:]
        for session_id in session_ids:
            assert self._vip_cache is not None, "ids come from a VIP's part"
            yield self._vip_cache, session_id
