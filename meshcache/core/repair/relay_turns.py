"""Tells a colo's new relay where to begin with what this node made: what the former one may have lost, and no more.

Only for what is for some nodes of a colo (`placement`): a relay keeps its share and knows nothing of what others hold,
so that it can't find out what is missing. Moves one session; the relay sees the gap behind it, and fetches that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from meshcache.core.cache.cache import SessionCache
from meshcache.core.holders.audience import Audiences
from meshcache.core.policy.gates import Terms
from meshcache.core.repair.serving import batch_of
from meshcache.core.state.members import Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import PUSH_SPAN_MAX, Push

DOUBT_S = 30.0
"""So long before a relay is replaced it may have been gone, or cut off, and what it was given with it."""

_DEAF_S = 25.0
"""A relay that has answered no ping that went since may not hear us, however well we hear it: nothing more counts as
given to it. Less than `DOUBT_S`, so that nothing of what it didn't hear counts by then."""

_STEP_S = 1.0
_TELLINGS = 3
"""Of one beginning, a second apart: it may get lost."""

_AGAIN_S = 10.0
"""Between two later ones: one session, which whoever has begun has seen."""

_NEVER = float("inf")


@dataclass(slots=True)
class _Colo:
    """The relay of one colo, what each that was one said of its terms, when it is to be told next, and the number up to
    which its colo has all. It has heard us all the time ``since`` then.
    """

    relay: str = ""
    terms: dict[str, tuple[Terms, ...]] = field(default_factory=dict)
    tellings: int = 0
    tell_at: float = 0.0
    since: float = 0.0
    safe: int = 0
    begin: int = 0


@dataclass(slots=True)
class _Turns:
    """Of one life of this node. ``made`` has the newest number of each second of the doubtful time."""

    key: StreamKey
    terms: Terms
    made: deque[tuple[float, int]] = field(default_factory=deque)
    colos: dict[str, _Colo] = field(default_factory=dict)


class RelayTurns:
    """Notices when a colo's relay for a VIP is another one than before, and tells that one where to begin."""

    def __init__(self, cache: SessionCache, vips: ServedVips, outbox: Outbox, audiences: Audiences, now: float) -> None:
        self._cache = cache
        self._vips = vips
        self._outbox = outbox
        self._audiences = audiences
        self._turns: dict[str, _Turns] = {}
        self._due_at = now

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        return self._due_at if any(map(_concerned, self._vips)) else _NEVER

    def tick(self, now: float) -> None:
        """Look who relays now."""
        if now < self._due_at:
            return
        self._due_at = now + _STEP_S
        for served in self._vips:
            if _concerned(served):
                self._look(served, self._turns_of(served), now)

    def _turns_of(self, served: ServedVip) -> _Turns:
        turns = self._turns.get(served.vip.terms.vip)
        terms = served.vip.terms
        if turns is None or turns.key != served.stream.key or turns.terms != terms:
            turns = self._turns[terms.vip] = _Turns(served.stream.key, terms)
        return turns

    def _look(self, served: ServedVip, turns: _Turns, now: float) -> None:
        turns.made.append((now, served.flushed_seq))
        while len(turns.made) > 1 and turns.made[1][0] <= now - DOUBT_S:
            turns.made.popleft()
        safe = turns.made[0][1] if turns.made[0][0] <= now - DOUBT_S else 0
        for peer in self._audiences.of_own(served.vip.terms).relays:
            colo = turns.colos.setdefault(peer.colo, _Colo())
            if colo.terms.setdefault(peer.name, peer.record.vips) != peer.record.vips:
                # what its old terms refused it has let go of
                colo.terms, colo.relay, colo.safe = {peer.name: peer.record.vips}, "", 0
            if peer.name != colo.relay:
                colo.relay, colo.tellings, colo.begin, colo.tell_at = peer.name, _TELLINGS, colo.safe, now
                colo.since = now
            elif now - peer.sent_after > _DEAF_S:
                colo.since = now
            if now - colo.since >= DOUBT_S:  # time enough to fetch what it missed before
                colo.safe = max(colo.safe, safe)
            if colo.tell_at <= now and self._tell(served, peer, colo.begin, now):
                colo.tellings -= colo.tellings > 0
                colo.tell_at = now + (_STEP_S if colo.tellings else _AGAIN_S)

    def _tell(self, served: ServedVip, peer: Peer, begin: int, now: float) -> bool:
        """Push the first that may be missing. Return whether there was one."""
        stream = served.stream
        for seq, session_id in stream.entries.between(begin + 1, served.flushed_seq):
            session = self._cache.peek(stream.vip, session_id)
            if session is None or (session.client_certificate and not served.vip.export_client_certificates):
                continue
            if session.expires_at - now >= 1:
                batch = batch_of(stream, max(1, seq - PUSH_SPAN_MAX + 1), seq, [session], now)
                self._outbox.send_all([peer.address], Push(batch, relay=True), 1)
                return True
        return False


def _concerned(served: ServedVip) -> bool:
    terms = served.vip.terms
    return terms.copies > 0 and terms.push
