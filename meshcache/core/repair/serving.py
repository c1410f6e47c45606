"""Answers fetches: what this node has of a stream, newest first, in batches that say exactly which numbers they cover.

Gives nothing that the asking node's own terms don't allow, covers nothing that this node hasn't seen itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.entry import Entries
from meshcache.core.cache.streams import Stream
from meshcache.core.holders.placement import Placement
from meshcache.core.repair.seen_streams import SeenStreams
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.values.ranges import Ranges
from meshcache.core.values.session import Session
from meshcache.core.values.token_bucket import Bucket
from meshcache.core.wire.messages import (
    BATCH_BYTES_MAX,
    BATCH_SESSIONS_MAX,
    FETCH_SESSIONS_MAX,
    SNAPSHOT_SESSIONS_MAX,
    Batch,
    Fetch,
    FetchEnd,
    FetchReply,
)

BATCHES_MAX = 64
"""Batches in answer to one fetch: many small pieces cost more than one large."""


class Serving:
    """Answers peers' fetches: repair to all, within one rate, and a snapshot to the one joiner that has the place."""

    def __init__(
        self,
        local: LocalNode,
        cache: SessionCache,
        vips: ServedVips,
        outbox: Outbox,
        seen: SeenStreams,
        placement: Placement,
        now: float,
    ) -> None:
        limits = self._limits = local.limits
        self._colo = local.identity.colo
        self._placement = placement
        self._cache = cache
        self._vips = vips
        self._outbox = outbox
        self._seen = seen
        self._rate = Bucket(limits.fill_sessions_per_s, limits.fill_sessions_burst, now)
        self._snapshot_rate = Bucket(limits.snapshot_sessions_per_s, limits.fill_sessions_burst, now)
        self._joiner = ""
        self._joiner_until = now

    def fetch_received(self, peer: Peer, fetch: Fetch, now: float) -> None:
        """Answer a peer that asks for ranges of a stream."""
        stream = self._cache.streams.get(fetch.key)
        if stream is None or not self._vips.send(stream.terms, peer.record):
            self._end(peer, fetch, FetchEnd.UNKNOWN)
        elif not peer.receives or (fetch.snapshot and not self.place(peer, now)):
            self._end(peer, fetch, FetchEnd.BUSY)
        else:
            self._serve(peer, fetch, stream, now)

    def place(self, peer: Peer, now: float) -> bool:
        """Give the joiners' one place to a peer, or renew it; False when another has it."""
        if self._joiner not in ("", peer.name) and now < self._joiner_until:
            return False
        self._joiner, self._joiner_until = peer.name, now + self._limits.snapshot_lease_s
        return True

    def done(self, peer: Peer) -> None:
        """Free the joiners' place that a peer has no more use for."""
        if self._joiner == peer.name:
            self._joiner = ""

    def _serve(self, peer: Peer, fetch: Fetch, stream: Stream, now: float) -> None:
        batches, complete = self._batches(peer, stream, fetch, now)
        sessions = sum(len(batch.entries.ids) for batch in batches)
        if not (self._snapshot_rate if fetch.snapshot else self._rate).take(sessions, now):
            self._end(peer, fetch, FetchEnd.BUSY)
            return
        for batch in batches:
            self._outbox.send_all([peer.address], FetchReply(fetch.token, batch), len(batch.entries.ids))
        self._end(peer, fetch, FetchEnd.DONE if complete else FetchEnd.MORE)

    def _end(self, peer: Peer, fetch: Fetch, end: FetchEnd) -> None:
        self._outbox.send(peer.address, FetchReply(fetch.token, None, end))

    def _batches(self, peer: Peer, stream: Stream, fetch: Fetch, now: float) -> tuple[list[Batch], bool]:
        batches: list[Batch] = []
        room = SNAPSHOT_SESSIONS_MAX if fetch.snapshot else FETCH_SESSIONS_MAX
        low = stream.found_from
        ranges = [(max(first, low), last) for first, last in fetch.ranges if last >= low]
        for first, last in parts_of(self._seen.of(stream), ranges):
            for batch in self._of_part(peer, stream, first, last, now):
                if len(batches) >= BATCHES_MAX or room < len(batch.entries.ids):
                    return batches, False
                batches.append(batch)
                room -= len(batch.entries.ids)
        return batches, True

    def _of_part(self, peer: Peer, stream: Stream, first: int, last: int, now: float) -> Iterator[Batch]:
        """Yield batches from the top down that together cover `first` to `last` without a gap."""
        sessions: list[Session] = []
        size = 0
        for session in self._living(peer, stream, first, last, now):
            cost = len(session.id) + len(session.der)
            if len(sessions) >= BATCH_SESSIONS_MAX or size + cost > BATCH_BYTES_MAX:
                yield batch_of(stream, sessions[-1].seq, last, sessions, now)
                sessions, size, last = [], 0, sessions[-1].seq - 1
            sessions.append(session)
            size += cost
        yield batch_of(stream, first, last, sessions, now)

    def _living(self, peer: Peer, stream: Stream, first: int, last: int, now: float) -> Iterator[Session]:
        served = self._vips.get(stream.vip)
        exports = served is not None and served.vip.export_client_certificates
        for seq, session_id in stream.entries.downwards(last + 1):
            if seq < first:
                return
            if stream.terms.copies and not self._is_for(peer, stream, session_id):
                continue
            session = self._cache.peek(stream.vip, session_id)
            if session is None or session.expires_at - now < 1 or (session.client_certificate and not exports):
                continue
            yield session

    def _is_for(self, peer: Peer, stream: Stream, session_id: bytes) -> bool:
        """Return whether a peer gets a session that is for some nodes only: as one of them, or to relay what was made
        here. A single one for a handshake is `pull_serving`'s.
        """
        if peer.colo == self._colo:
            return peer.name in self._placement.holders(stream.terms, session_id)
        return stream.published and stream.terms.push


def parts_of(seen: Ranges, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Return the parts that are in both, highest first."""
    for first, last in sorted(ranges, reverse=True):
        for low, high in reversed(list(seen)):
            if max(first, low) <= min(last, high):
                yield max(first, low), min(last, high)


def batch_of(stream: Stream, first: int, last: int, sessions: list[Session], now: float) -> Batch:
    """Return sessions, newest first, as a batch that covers `first` to `last`."""
    rows = sessions[::-1]
    entries = Entries(
        [session.seq for session in rows],
        [session.id for session in rows],
        [session.der for session in rows],
        [int(session.expires_at - now) for session in rows],
        [max(ceil(now - session.born_at), 0) for session in rows],  # never younger, however many steps it takes
        [session.client_certificate for session in rows],
    )
    return Batch(stream.terms, stream.key.incarnation, stream.age, first, last, entries)
