"""Pushes what this node makes: at once when it was idle, collected for a moment under load, in batches encoded once.

Runs on the thread of the handshake that made the session, so `add` is an append and two comparisons.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from meshcache.core.audience import Audience, Audiences
from meshcache.core.board import Board
from meshcache.core.entry import Entries
from meshcache.core.members import Peer
from meshcache.core.messages import BATCH_BYTES_MAX, BATCH_SESSIONS_MAX, Batch, Push
from meshcache.core.vips import Served

_NEVER = float("inf")


class Made(NamedTuple):
    """A new session on its way out."""

    seq: int
    id: bytes
    der: bytes
    expires_at: float
    born_at: float
    certified: bool
    made_at: float


class _Outbox:
    __slots__ = ("due_at", "flushed_at", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Made] = deque()
        self.due_at = _NEVER
        self.flushed_at = -_NEVER


class Publisher:
    """One bounded outbox for each VIP. ``due_at`` is when the first of them wants to be flushed."""

    def __init__(self, board: Board, audiences: Audiences) -> None:
        self._board = board
        self._audiences = audiences
        self._outboxes: dict[str, _Outbox] = {}
        self.due_at = _NEVER

    def add(self, served: Served, made: Made, now: float) -> None:
        """Publish a session to whom it may concern; nothing waits when that is nobody."""
        audience = self._audiences.of_own(served.vip.terms)
        if not audience.receivers:
            served.flushed_seq = made.seq
            return
        outbox = self._outboxes.get(served.vip.terms.vip)
        if outbox is None:
            outbox = self._outboxes[served.vip.terms.vip] = _Outbox()
        outbox.waiting.append(made)
        if len(outbox.waiting) >= BATCH_SESSIONS_MAX:
            self._overflow(outbox, now)
        elif len(outbox.waiting) == 1:
            outbox.due_at = max(now, outbox.flushed_at + self._board.limits.flush_s(audience.receivers))
        self.due_at = min(self.due_at, outbox.due_at)

    def flush(self, now: float) -> None:
        """Send what is due."""
        if self.due_at > now:
            return
        for name, outbox in list(self._outboxes.items()):
            if outbox.due_at <= now:
                self._flush(name, outbox, now)
        self.due_at = min((outbox.due_at for outbox in self._outboxes.values()), default=_NEVER)

    def flush_all(self, now: float) -> None:
        """Send everything that waits: this node is going."""
        for name, outbox in list(self._outboxes.items()):
            self._flush(name, outbox, now)

    def drop_vip(self, name: str) -> None:
        """What waits for this VIP goes nowhere any more."""
        self._outboxes.pop(name, None)

    def _overflow(self, outbox: _Outbox, now: float) -> None:
        outbox.due_at = min(outbox.due_at, now)
        if len(outbox.waiting) > self._board.limits.outbox_sessions:
            outbox.waiting.popleft()
            self._board.drop("outbox_full")

    def _flush(self, name: str, outbox: _Outbox, now: float) -> None:
        outbox.due_at, outbox.flushed_at = _NEVER, now
        served = self._board.vips.get(name)
        if served is None or not outbox.waiting:
            return
        audience = self._audiences.of_own(served.vip.terms)
        waiting = list(outbox.waiting)
        outbox.waiting.clear()
        served.flushed_seq = waiting[-1].seq
        for made in _batches(waiting):
            self._push(served, audience, made, now)

    def _push(self, served: Served, audience: Audience, made: Sequence[Made], now: float) -> None:
        record = self._board.vips.record
        entries = _columns(made, now)
        age = (record.incarnation, record.revision)
        batch = Batch(served.vip.terms, record.incarnation, age, made[0].seq, made[-1].seq, entries)
        age_us = min(int((now - made[0].made_at) * 1e6), (1 << 32) - 1)
        inside, relays = self._ready(audience.inside, now), self._ready(audience.relays, now)
        if inside:
            self._board.post.send_all(inside, Push(batch, False, age_us), len(made))
        if relays:
            self._board.post.send_all(relays, Push(batch, True, age_us), len(made))
        if inside or relays:
            served.counters.pushed += len(made)

    def _ready(self, peers: list[Peer], now: float) -> list[str]:
        if not peers:
            return []
        ready = [peer.address for peer in peers if peer.blocked_until <= now]
        if len(ready) < len(peers):
            self._board.drop("peer_blocked", len(peers) - len(ready))
        return ready


def _batches(waiting: list[Made]) -> list[list[Made]]:
    if len(waiting) == 1:
        return [waiting]
    batches: list[list[Made]] = [[]]
    size = 0
    for made in waiting:
        cost = len(made.id) + len(made.der)
        if len(batches[-1]) >= BATCH_SESSIONS_MAX or size + cost > BATCH_BYTES_MAX:
            batches.append([])
            size = 0
        batches[-1].append(made)
        size += cost
    return batches


def _columns(made: Sequence[Made], now: float) -> Entries:
    seqs, ids, ders, expiries, births, certified, _ = zip(*made, strict=True)
    remaining = [max(int(expires_at - now), 0) for expires_at in expiries]
    elapsed = [max(round(now - born_at), 0) for born_at in births]
    return Entries(seqs, ids, ders, remaining, elapsed, certified)
