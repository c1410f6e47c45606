"""Lets the core see what the compiled cache filed by itself: sessions that handshakes put there, and those of a push,
from its bytes.

Keeps nothing of its own: it notes what is there by names of eight bytes, and has room made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import floor
from typing import TypeAlias

from meshcache.core.cache.cache import COST_MAX, SessionCache
from meshcache.core.cache.journal import NAME_BYTES, NamedIds
from meshcache.core.cache.streams import Stream
from meshcache.core.cache.vip_cache import NamingEntries

PushMade: TypeAlias = Callable[[bytes, bytes, int, int, float, float, float, float], tuple[bytes, bytes] | None]
"""Of a compiled door: files what waits there under numbers that follow on one another, up to a batch, and writes it as
a push. Given are the envelope, the stream's head and its index, the first number, now, what that is ahead of the door's
clock, when it all ends at the latest, and after what its lineages began. Returns the push and the names of its entries;
None, with nothing done, when the first that waits is unusual."""


class FiledInC:
    """What the compiled cache can do by itself, for streams that it has. Without it nothing is ever done here."""

    def __init__(self, cache: SessionCache) -> None:
        self._cache = cache

    def can(self, stream: Stream) -> bool:
        """Return whether any of it can be for a stream."""
        return self._part(stream) is not None

    def keep_made(self, stream: Stream, ids: list[bytes], first_seq: int) -> int:
        """File entries that handshakes added to the compiled cache, under numbers that follow on one another, as `put`.

        Returns how many: the others, from the first that can't be filed so, are for `put`.
        """
        part = self._part(stream)
        if part is None:
            return 0
        names = part.keep_made(ids, stream.index, first_seq)
        kept = len(names) // NAME_BYTES
        stream.cached += kept
        stream.entries.extend_named(first_seq, names)
        if self._cache.on_file is not None and kept:
            self._cache.on_file(stream, ids[:kept])
        if part.over():
            self._cache.make_room(part)
        return kept

    def push_made(
        self,
        stream: Stream,
        push: PushMade,
        envelope: bytes,
        head: bytes,
        first_seq: int,
        now: float,
        ahead_s: float,
        until: float,
        born_after: float,
    ) -> tuple[bytes, int] | None:
        """Do as `keep_made` does for what waits at the compiled door that `push` is of, and write it as a push.

        Returns its bytes and how many entries are in it; None when nothing was done.
        """
        part = self._part(stream)
        if part is None:
            return None
        pushed = push(envelope, head, stream.index, first_seq, now, ahead_s, until, born_after)
        if pushed is None:
            return None
        payload, names = pushed
        self.note_push(stream, first_seq, names, at_own_cost=False)
        return payload, len(names) // NAME_BYTES

    def put_push(
        self,
        stream: Stream,
        payload: bytes,
        envelope: bytes,
        head: bytes,
        next_seq: int,
        lineage_s: float,
        lifetime_s: float,
        now: float,
    ) -> tuple[int, int, int] | None:
        """File what a push holds from its bytes, where that can be; see `NamingEntries.file_push` and `put_many`.

        Returns its last number, how many entries it has, and their age in microseconds; None when nothing was done.
        """
        part = self._part(stream)
        if part is None:
            return None
        second = floor(now - self._cache.epoch)
        filed = part.file_push(payload, envelope, head, stream.index, next_seq, second, lineage_s, int(lifetime_s))
        if filed is None:
            return None
        last, count, age_us, names = filed
        self.note_push(stream, next_seq, names)
        return last, count, age_us

    def note_push(self, stream: Stream, first: int, names: bytes, *, at_own_cost: bool = True) -> None:
        """Note what was filed from the bytes of a push, by its names, and make room for it."""
        self._note(stream, first, names)
        self._make_room(stream, at_own_cost)

    def note_pushes(self, filed: Iterable[tuple[Stream, int, bytes]]) -> None:
        """Do the same for pushes of several streams, all of which are filed already.

        Room is made once all are noted: else what goes could be of one that isn't, which would name it for ever then.
        And the one that holds most goes first: else the others' would make room for it.
        """
        streams: dict[int, Stream] = {}
        for stream, first, names in filed:
            self._note(stream, first, names)
            streams[stream.index] = stream
        for stream in sorted(streams.values(), key=lambda each: -each.cached):
            self._make_room(stream, at_own_cost=True)

    def _part(self, stream: Stream) -> NamingEntries | None:
        part = stream.reads
        return part if part is not None and part is self._cache.vip_cache(stream.vip) and part.fits(COST_MAX) else None

    def _note(self, stream: Stream, first: int, names: bytes) -> None:
        part = stream.reads
        assert part is not None, "it was filed there"
        stream.cached += len(names) // NAME_BYTES
        stream.entries.extend_named(first, names)
        if self._cache.on_file is not None:
            self._cache.on_file(stream, NamedIds(names, first, partial(_id_of, part, stream.index)))

    def _make_room(self, stream: Stream, at_own_cost: bool) -> None:
        assert stream.reads is not None, "its entries are filed there"
        if stream.reads.over():
            self._cache.make_room(stream.reads, stream if at_own_cost else None)


def _id_of(vip_cache: NamingEntries, stream: int, name: int, seq: int) -> bytes | None:
    return vip_cache.id_of(name, stream, seq)
