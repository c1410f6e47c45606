"""Says what this node has seen of each stream, and which of that a peer may know: what both ends compare.

Judges by the peer's own terms; changes nothing.
"""

from __future__ import annotations

from meshcache.core.cache.streams import Stream, StreamTable
from meshcache.core.policy.gates import Terms
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Peer
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.values.ranges import Ranges
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import (
    VECTOR_ENTRIES_MAX,
    VECTOR_RANGES_MAX,
    VECTORS_MAX,
    Seen,
)

_BYTES_MAX = 64 * 1024
"""Of the streams in one message: 512 with 32 ranges each could be more than twice as long as a message may be."""

_NUMBER_BYTES = 9
"""Of a number on the wire, at the most."""

_ENTRY_BYTES = 16
"""Of a stream beside its names and ranges: the life of its origin, and how long each part is."""


class SeenStreams:
    """What this node has seen of each stream, for comparing; of its own, what was made and sent."""

    def __init__(self, local: LocalNode, streams: StreamTable, vips: ServedVips) -> None:
        self._local = local
        self._streams = streams
        self._vips = vips

    def of(self, stream: Stream) -> Ranges:
        """Return what this node has seen of a stream; of its own, what it has made and sent. Where sessions are for
        some nodes only, what it may have: numbers say nothing of what it misses.
        """
        own, served = self._local.identity, self._vips.get(stream.key.vip)
        if stream.key[:2] != (own.node, own.incarnation):
            return stream.seen if not stream.terms.copies else _held(stream)
        return Ranges([(1, served.flushed_seq)] if served is not None and served.flushed_seq else ())

    def view(self, peer: Peer) -> list[tuple[StreamKey, Ranges]]:
        """Return every stream that a peer may have, with what this node has seen of it, ordered by name; not those
        whose sessions are for some nodes only, which `holdings` compares.
        """
        may: dict[Terms, bool] = {}
        found = []
        for stream in self._streams:
            if stream.terms.copies:
                continue
            if stream.terms not in may:
                may[stream.terms] = self._vips.send(stream.terms, peer.record)
            seen = self.of(stream) if may[stream.terms] else None
            if seen:
                found.append((stream.key, seen))
        return sorted(found, key=lambda item: item[0])


def _held(stream: Stream) -> Ranges:
    """Return up to where there may be something of a stream whose sessions are for some nodes only."""
    return Ranges([(1, stream.entries.newest)] if stream.entries.count else ())


def in_parts(seen: list[tuple[StreamKey, Ranges]]) -> list[tuple[Seen, ...]]:
    """Return streams as what one message or more say of them, none longer than it may be; where there are none, one
    says so.

    Where there would be too many messages, fewer ranges are said of each stream.
    """
    ranges_max = VECTOR_RANGES_MAX
    parts = _parts(seen, ranges_max)
    while len(parts) > VECTORS_MAX and ranges_max > 1:
        ranges_max //= 2
        parts = _parts(seen, ranges_max)
    return parts[:VECTORS_MAX]


def newest_ranges(seen: Ranges, ranges_max: int = VECTOR_RANGES_MAX) -> tuple[int, ...]:
    """Return so many of the newest ranges, as flat pairs of first and last: more don't fit into a vector."""
    return tuple(number for pair in list(seen)[-ranges_max:] for number in pair)


def _parts(seen: list[tuple[StreamKey, Ranges]], ranges_max: int) -> list[tuple[Seen, ...]]:
    parts: list[list[Seen]] = [[]]
    size = 0
    for key, ranges in seen:
        entry = Seen(key, newest_ranges(ranges, ranges_max))
        names = len(key.origin.encode()) + len(key.vip.encode())
        cost = _ENTRY_BYTES + names + _NUMBER_BYTES * len(entry.ranges)
        if len(parts[-1]) >= VECTOR_ENTRIES_MAX or size + cost > _BYTES_MAX:
            parts.append([])
            size = 0
        parts[-1].append(entry)
        size += cost
    return [tuple(part) for part in parts]
