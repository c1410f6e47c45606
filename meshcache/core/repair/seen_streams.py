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
from meshcache.core.wire.messages import VECTOR_RANGES_MAX


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


def newest_ranges(seen: Ranges) -> tuple[int, ...]:
    """Return the newest ranges that fit into a vector, as flat pairs of first and last."""
    return tuple(number for pair in list(seen)[-VECTOR_RANGES_MAX:] for number in pair)
