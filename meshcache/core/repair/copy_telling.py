"""Tells each other holder what this node has that it is to hold too, a little at a time.

After a change of who is there it goes through all that is held, and now and then without one; what is new is told twice
within seconds, since the push of it may have got lost. Only numbers are told, and only those of sessions that both are
to hold. Fetches nothing: at the peer, `copy_fetching` does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.streams import Stream
from meshcache.core.holders.holding_messages import HoldingMessages
from meshcache.core.holders.holdings_readiness import HoldingsReadiness
from meshcache.core.holders.placement import Placement
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.values.session import StreamKey

_SETTLES_MAX = 3
"""Of `holdings_settle_s`: so long changes that follow on one another put a pass off at most. In a large mesh there may
always be another one."""

_NEVER = float("inf")


@dataclass(slots=True)
class _Pass:
    """One way through the streams: what is left of it. ``since`` are the numbers beyond which sessions are new."""

    streams: deque[StreamKey]
    whole: bool
    since: dict[StreamKey, int] = field(default_factory=dict)
    before: int = 0


class CopyTelling:
    """Goes through what is held here and tells its other holders, in passes. `tick` at `next_due`; when those may be
    others by now, `begin_soon`; `stop` when nothing is for some nodes only any more.
    """

    def __init__(
        self,
        local: LocalNode,
        cache: SessionCache,
        outbox: Outbox,
        placement: Placement,
        readiness: HoldingsReadiness,
        now: float,
    ) -> None:
        self._local = local
        self._cache = cache
        self._outbox = outbox
        self._placement = placement
        self._readiness = readiness
        self._pass: _Pass | None = None
        self._step_at = _NEVER
        self._whole_at = self._recent_at = now + local.limits.holdings_recent_s
        self._put_off_until = _NEVER
        self._marks: tuple[dict[StreamKey, int], dict[StreamKey, int]] = ({}, {})

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        if self._pass is None:
            return min(self._whole_at, self._recent_at)
        return self._step_at if self._pass.whole else min(self._step_at, self._whole_at)

    def stop(self) -> None:
        """End the pass under way, and begin none that was to come soon."""
        self._pass, self._put_off_until = None, _NEVER

    def begin_soon(self, now: float) -> None:
        """Tell all again, once it is known who is there: several nodes often come or go at once. A pass under way goes
        on, since it asks for each session who is to hold it now.
        """
        settle_s = self._local.limits.holdings_settle_s
        self._put_off_until = min(self._put_off_until, now + _SETTLES_MAX * settle_s)
        self._whole_at = min(now + settle_s * (0.75 + 0.5 * self._local.rng.random()), self._put_off_until)

    def tick(self, now: float) -> None:
        """Begin a pass that is due, and go on a little with the one under way."""
        if self._pass is None or (self._whole_at <= now and not self._pass.whole):
            self._begin(now)
        if self._pass is not None and self._step_at <= now:
            self._step(self._pass, now)

    def _begin(self, now: float) -> None:
        limits = self._local.limits
        whole = self._whole_at <= now
        if not whole and self._recent_at > now:
            return
        streams = [stream for stream in self._cache.streams if stream.terms.copies and stream.entries.count]
        since = self._marks[0]
        self._marks = self._marks[1], {stream.key: stream.entries.newest for stream in streams}
        self._pass = _Pass(deque(stream.key for stream in streams), whole, since)
        self._step_at = now
        self._recent_at = now + limits.holdings_recent_s * (0.8 + 0.4 * self._local.rng.random())
        if whole:
            self._put_off_until = _NEVER
            self._readiness.begin_telling()
            held = sum(stream.entries.count for stream in streams)
            pause_s = max(limits.holdings_s, held * limits.holdings_s_per_session)
            self._whole_at = now + pause_s * (0.8 + 0.4 * self._local.rng.random())

    def _step(self, going: _Pass, now: float) -> None:
        room = self._local.limits.holdings_step
        telling = HoldingMessages()
        while room > 0 and going.streams:
            key = going.streams[0]
            stream = self._cache.streams.get(key)
            looked = 0
            if stream is not None and stream.terms.copies:
                looked = self._tell_of(stream, going, room, telling)
            if looked < room:
                going.streams.popleft()
                going.before = 0
            room -= max(looked, 1)
        telling.send(self._outbox)
        self._step_at = now + self._local.limits.holdings_pause_s
        if not going.streams:
            self._pass = None
            if going.whole:
                self._readiness.tell_all_told()

    def _tell_of(self, stream: Stream, going: _Pass, room: int, telling: HoldingMessages) -> int:
        """Look at the next sessions of a stream, newest first. Return how many there were, up to `room`."""
        own, key, looked = self._local.identity.node, stream.key, 0
        least = 0 if going.whole else going.since.get(key, 0)
        before = going.before or stream.entries.newest + 1
        for seq, session_id in islice(stream.entries.downwards(before), room):
            if seq <= least:
                break
            looked, going.before = looked + 1, seq
            peers = self._placement.peers(stream.terms, session_id)
            if going.whole or own in self._placement.holders(stream.terms, session_id):
                for peer in peers:
                    if peer.state is PeerState.ALIVE:
                        telling.note(peer, key, seq)
        return looked
