"""Keeps for half a minute what this node passes on from another colo and isn't to hold, and tells its holders of it.

Passing on is done once, and all of it may get lost, or those die who got it: then nobody in the colo would have a copy,
and nobody would know that one is missing. What is kept lies in the cache like anything else, under the same terms,
withdraws and quotas; when its time is over it goes, unless this node is to hold it by then.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import NamedTuple

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.entry import ENTRY_OVERHEAD_BYTES, Entries
from meshcache.core.cache.streams import Stream
from meshcache.core.holders.holding_messages import HoldingMessages
from meshcache.core.holders.placement import Placement
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.session import Session

PAUSES_S = (2.0, 4.0, 6.0, 12.0, 6.0)
"""Before each telling of a session, and before it goes. They are counted from one telling to the next, so that a node
that was stopped tells before it lets go. Together as long as a colo may take to see its holders' deaths where messages
get lost."""

PART = 16
"""Of a VIP's quota at most this part is for what is passed on; what is more isn't kept."""

_DEAF_S = 25.0
"""A holder that has answered no ping that went since may not hear us, however well we hear it."""

_STEP_S = 0.5
"""Between two looks, so that many small pushes are one piece of work."""

_NEVER = float("inf")

_LAST = len(PAUSES_S) - 1


class Unkept(StrEnum):
    """What there is too little of to keep what is passed on: too many are kept, or their VIP's part is full."""

    NUMBER = "number"
    QUOTA = "quota"


class _Kept(NamedTuple):
    """Sessions of one push, and when they are to be told of next, or to go."""

    due_at: float
    vip: str
    ids: tuple[bytes, ...]
    bytes: int

    def __repr__(self) -> str:
        return f"<Kept of {len(self.ids)}>"


class RelayRetention:
    """Sessions that are here only because this node passed them on, until their holders have had time to fetch them.

    `keep` chooses them from a batch, `kept` notes that they were filed; `tick` tells their holders, and lets go.
    """

    def __init__(
        self, local: LocalNode, telemetry: Telemetry, cache: SessionCache, outbox: Outbox, placement: Placement
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._cache = cache
        self._outbox = outbox
        self._placement = placement
        self._stages: tuple[deque[_Kept], ...] = tuple(deque() for _ in PAUSES_S)
        self._bytes: dict[str, int] = {}
        self._count = 0
        self._step_at = 0.0

    def __len__(self) -> int:
        """Return how many sessions are kept that nobody asked this node to hold."""
        return self._count

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        return max(self._step_at, self._first_due()) if self._count else _NEVER

    def keep(self, stream: Stream, entries: Entries) -> Entries:
        """Return those entries that came for the first time and others of this colo are to hold, not this node; none
        where there is no room, which is counted: should they get lost on the way, nobody in the colo has them.
        """
        terms, own = stream.terms, self._local.identity.node
        found = ((at, self._placement.holders(terms, each)) for at, each in enumerate(entries.ids))
        places = [at for at, holders in found if holders and own not in holders]
        seen, here = stream.seen, self._cache.holds
        new = [at for at in places if entries.seqs[at] not in seen and not here(stream.vip, entries.ids[at])]
        others = entries.chosen(new)
        vip_cache = self._cache.vip_cache(stream.vip)
        room = 0 if vip_cache is None else vip_cache.bytes_max // PART - self._bytes.get(stream.vip, 0)
        short_of = self._short_of(others, room)
        if short_of is not None:
            self._telemetry.counters.vip(stream.vip).passed_on_unkept[short_of.value] += len(others.ids)
        return others if short_of is None else others.chosen([])

    def kept(self, stream: Stream, entries: Entries, now: float) -> None:
        """Note what was filed of those."""
        cost = _cost(entries)
        self._stages[0].append(_Kept(now + PAUSES_S[0], stream.vip, tuple(entries.ids), cost))
        self._bytes[stream.vip] = self._bytes.get(stream.vip, 0) + cost
        self._count += len(entries.ids)

    def tick(self, now: float) -> None:
        """Tell the holders of a little of what is due, and let go of what was told often enough."""
        if now < self._step_at or self._first_due() > now:
            return
        limits, telling = self._local.limits, HoldingMessages()
        room = limits.holdings_step
        for at, stage in enumerate(self._stages):
            while stage and stage[0].due_at <= now and room > 0:
                kept = stage.popleft()
                room -= max(len(kept.ids), 1)
                if at < _LAST:
                    self._tell(kept, telling)
                    self._stages[at + 1].append(kept._replace(due_at=now + PAUSES_S[at + 1]))
                else:
                    self._let_go(kept, now)
        telling.send(self._outbox)
        self._step_at = now + (_STEP_S if room > 0 else limits.holdings_pause_s)

    def _short_of(self, others: Entries, room: int) -> Unkept | None:
        """Return what there is too little of to keep these, if anything."""
        if self._count + len(others.ids) > self._local.limits.passed_on_max:
            return Unkept.NUMBER
        return Unkept.QUOTA if _cost(others) > room else None

    def _tell(self, kept: _Kept, telling: HoldingMessages) -> None:
        for session, stream in self._still_here(kept.vip, kept.ids):
            for peer in self._placement.peers(stream.terms, session.id):
                if peer.state is PeerState.ALIVE:
                    telling.note(peer, stream.key, session.seq)

    def _let_go(self, kept: _Kept, now: float) -> None:
        """Forget what isn't this node's to hold now, or everybody's; not yet where one of its holders may be dying, or
        may not have heard of it: that is told again.
        """
        silent: list[bytes] = []
        for session, stream in self._still_here(kept.vip, kept.ids):
            peers = self._placement.peers(stream.terms, session.id)
            if self._placement.is_mine(stream.terms, session.id) or not peers:
                continue
            if any(peer.state is not PeerState.ALIVE or now - peer.sent_after > _DEAF_S for peer in peers):
                silent.append(session.id)
            else:
                self._cache.remove(stream.vip, session.id)
        self._count -= len(kept.ids) - len(silent)
        if silent:
            self._stages[_LAST - 1].append(kept._replace(due_at=now + PAUSES_S[_LAST - 1], ids=tuple(silent)))
        else:
            self._bytes[kept.vip] -= kept.bytes

    def _still_here(self, vip: str, ids: tuple[bytes, ...]) -> list[tuple[Session, Stream]]:
        found = (self._cache.peek(vip, session_id) for session_id in ids)
        streams = self._cache.streams
        return [(each, stream) for each in found if each and (stream := streams.get(each.stream)) is not None]

    def _first_due(self) -> float:
        return min((stage[0].due_at for stage in self._stages if stage), default=_NEVER)


def _cost(entries: Entries) -> int:
    return sum(map(len, entries.ids)) + sum(map(len, entries.ders)) + ENTRY_OVERHEAD_BYTES * len(entries.ids)
