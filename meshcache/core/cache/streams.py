"""Remembers, for each stream, who made it, under which terms, what has been seen of it and which entries are here.

A stream is what one incarnation of one node publishes for one VIP, numbered from 1. What was *seen* and what is *here*
are kept apart: an entry that was evicted, filtered or refused has been seen and is never fetched again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from meshcache.core.cache.journal import Journal
from meshcache.core.cache.vip_cache import NamingEntries, VipEntries, journal_of
from meshcache.core.policy.gates import Terms
from meshcache.core.values.ranges import RANGES_MAX, Ranges
from meshcache.core.values.session import StreamKey

STREAMS_MAX = 16_384
"""Streams remembered at a time: 1,000 nodes with 8 VIPs, each restarted once. The longest silent goes first. Those that
this node publishes in stay, one for each of its VIPs.
"""

INDEXES = 1 << 32
"""As many as the cache's entry header has room for."""


@dataclass(slots=True)
class Stream:
    """One stream on this node.

    ``index`` is its place in the table, which is how a cached entry names its stream in four bytes.
    ``vip`` is the local VIP whose quota its entries use. ``seen`` says which numbers need never be asked for again,
    ``newest`` is the highest that the origin is known to have used, ``entries`` finds what is in the cache now.
    ``age`` is the (incarnation, revision) of the origin that ``terms`` come from. ``hearsay`` are the numbers of which
    another node than the origin spoke first: they don't stand in the way of what the origin says of them.
    ``vouched`` is the highest number of which the origin itself spoke.
    ``published`` says that this node numbers in it what it makes now.
    ``filed_in`` is the part of the cache that ``entries`` are in, once there was one.
    """

    key: StreamKey
    terms: Terms
    vip: str
    index: int
    seen: Ranges = field(default_factory=Ranges)
    newest: int = 0
    last_active_at: float = 0.0
    entries: Journal = field(default_factory=Journal)
    cached: int = 0
    age: tuple[int, int] = (0, 0)
    hearsay: Ranges | None = None
    vouched: int = 0
    published: bool = False
    filed_in: VipEntries | None = None
    reads: NamingEntries | None = None
    """The same, if it can file pushes from their bytes."""

    @property
    def found_from(self) -> int:
        """The number from which on `entries` finds all that is here. Below it some fell out of the journal: to say that
        numbers there were seen and nothing is here of them would keep others from ever asking for it.

        Of its own a node has the last word, and numbers of what is for some nodes only say nothing anyway.
        """
        last_word = self.published or self.terms.copies
        return 1 if last_word or self.cached == self.entries.count else self.entries.lost + 1

    def file_in(self, vip_cache: VipEntries) -> None:
        """Keep a journal of what is filed there from now on; where entries were before, they are gone by now."""
        assert not self.cached, "entries don't move"
        self.filed_in, self.entries = vip_cache, journal_of(vip_cache, self.index)
        self.reads = vip_cache if isinstance(vip_cache, NamingEntries) else None

    def see_what_is_here(self) -> None:
        """Count as seen what is here and nothing else: its sessions were for some nodes only, so that nobody fetched
        what isn't here, and now they are for all.

        As far as there are ranges for it, the newest: what is here below those comes once more, which costs less than
        counting all between them as seen, and never fetching it.
        """
        self.seen, self.hearsay = Ranges(), None
        for first, last in self.entries.newest_runs(RANGES_MAX // 2):
            self.seen.add(first, last)

    def see(self, first: int, last: int, *, own: bool) -> None:
        """Count numbers as seen, by the word of the origin (`own`) or of another node."""
        self.seen.add(first, last)
        self.newest = max(self.newest, last)
        if own:
            self.vouched = max(self.vouched, last)
        else:
            self.hearsay = self.hearsay or Ranges()
            self.hearsay.add(first, last)

    def made(self, newest: int) -> None:
        """Note how far it goes, by the word of the origin."""
        self.newest, self.vouched = max(self.newest, newest), max(self.vouched, newest)


class StreamTable:
    """All streams of this node by key and by index; bounded. An index comes again after 2^32 others at the earliest."""

    def __init__(self, streams_max: int = STREAMS_MAX, indexes: int = INDEXES) -> None:
        self.streams_max = streams_max
        self._by_key: dict[StreamKey, Stream] = {}
        self._by_index: dict[int, Stream] = {}
        self.get = self._by_key.get
        """The stream with this key, or None. These two are the dicts' own methods: each lookup asks both."""
        self.at = self._by_index.__getitem__
        """The stream of a cached entry, by its index; entries never outlive their stream, so it is there."""
        self._indexes = indexes
        self._next_index = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._by_key.values())

    def open(self, terms: Terms, key: StreamKey, vip: str, now: float) -> Stream | None:
        """Return the stream with this key, made if need be; None when the table is full of streams with entries."""
        return self._open(terms, key, vip, now, published=False)

    def publish(self, terms: Terms, key: StreamKey, vip: str, now: float) -> Stream:
        """Return the stream in which this node numbers what it makes for a VIP from now on: there is always room for
        it, and it never makes room for another.
        """
        stream = self._open(terms, key, vip, now, published=True)
        assert stream is not None, "a published one is made in any case"
        stream.published = True
        return stream

    def _open(self, terms: Terms, key: StreamKey, vip: str, now: float, *, published: bool) -> Stream | None:
        stream = self._by_key.get(key)
        if stream is None:
            if len(self._by_key) >= self.streams_max and not self._drop_longest_silent() and not published:
                return None
            stream = Stream(key, terms, vip, self._free_index())
            self._by_key[key] = self._by_index[stream.index] = stream
        stream.last_active_at = now
        return stream

    def drop(self, stream: Stream) -> None:
        """Forget a stream that has no entries left; what was seen of it is forgotten too."""
        assert not stream.cached, "the cache refers to its streams by index"
        del self._by_key[stream.key], self._by_index[stream.index]

    def _free_index(self) -> int:
        while self._next_index in self._by_index:
            self._next_index = (self._next_index + 1) % self._indexes
        index = self._next_index
        self._next_index = (index + 1) % self._indexes
        return index

    def _drop_longest_silent(self) -> bool:
        silent = (stream for stream in self if not stream.cached and not stream.published)
        idle = min(silent, key=lambda stream: stream.last_active_at, default=None)
        if idle is None:
            return False
        self.drop(idle)
        return True
