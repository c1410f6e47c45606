"""Pushes what this node makes: at once when it was idle, collected for a moment under load, in batches encoded once.

Runs on the thread of the handshake that made the session, so `add` is an append and two comparisons.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from meshcache.core.cache.entry import Entries
from meshcache.core.replication.audience import Audiences
from meshcache.core.state.members import Peer
from meshcache.core.state.node_state import Board
from meshcache.core.state.served_vips import Served
from meshcache.core.wire.codec import encode
from meshcache.core.wire.columns import SECONDS_MAX
from meshcache.core.wire.messages import BATCH_BYTES_MAX, BATCH_SESSIONS_MAX, Batch, Push
from meshcache.core.wire.push_template import Made, Template

_NEVER = float("inf")


class _Outbox:
    __slots__ = ("due_at", "flushed_at", "name", "template", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: deque[Made] = deque()
        self.due_at = _NEVER
        self.flushed_at = -_NEVER
        self.template: Template | None = None


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
            outbox = self._outboxes[served.vip.terms.vip] = _Outbox(served.vip.terms.vip)
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
        due_at = _NEVER
        for outbox in self._outboxes.values():
            if outbox.due_at <= now:
                self._flush(outbox, now)
            elif outbox.due_at < due_at:
                due_at = outbox.due_at
        self.due_at = due_at

    def flush_all(self, now: float) -> None:
        """Send everything that waits: this node is going."""
        for outbox in self._outboxes.values():
            self._flush(outbox, now)

    def drop_vip(self, name: str) -> None:
        """What waits for this VIP goes nowhere any more."""
        self._outboxes.pop(name, None)

    def _overflow(self, outbox: _Outbox, now: float) -> None:
        outbox.due_at = min(outbox.due_at, now)
        if len(outbox.waiting) > self._board.limits.outbox_sessions:
            outbox.waiting.popleft()
            self._board.drop("outbox_full")

    def _flush(self, outbox: _Outbox, now: float) -> None:
        outbox.due_at, outbox.flushed_at = _NEVER, now
        served = self._board.vips.get(outbox.name)
        if served is None or not outbox.waiting:
            return
        audience = self._audiences.of_own(served.vip.terms)
        waiting = list(outbox.waiting)
        outbox.waiting.clear()
        served.flushed_seq = waiting[-1].seq
        for made in [waiting] if len(waiting) == 1 else _batches(waiting):
            inside = self._push(outbox, served, made, now, audience.inside, relay=False)
            relays = self._push(outbox, served, made, now, audience.relays, relay=True) if audience.relays else 0
            served.counters.pushed += max(inside, relays)

    def _push(
        self, outbox: _Outbox, served: Served, made: Sequence[Made], now: float, peers: list[Peer], *, relay: bool
    ) -> int:
        """Send a batch to those of these peers that take any; says how many sessions are on their way."""
        ready = self._ready(peers, now)
        if not ready:
            return 0
        terms, record, first = served.vip.terms, self._board.vips.record, made[0]
        age_us = min(int((now - first.made_at) * 1e6), SECONDS_MAX)
        if len(made) == 1 and Template.suits(first):
            template = outbox.template
            if template is None or template.record is not record or template.terms is not terms:
                template = outbox.template = Template(record, terms)
            payload = template.write(first, now, age_us, relay=relay)
        else:
            batch = Batch(terms, record.incarnation, record.age, first.seq, made[-1].seq, _columns(made, now))
            payload = encode(record.node, record.incarnation, Push(batch, relay, age_us))
        self._board.post.send_encoded(ready, payload, Push, len(made))
        return len(made)

    def _ready(self, peers: list[Peer], now: float) -> list[str]:
        ready = [peer.address for peer in peers if peer.blocked_until <= now]
        if len(ready) < len(peers):
            self._board.drop("peer_blocked", len(peers) - len(ready))
        return ready


def _batches(waiting: list[Made]) -> list[list[Made]]:
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
