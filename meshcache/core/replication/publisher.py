"""Pushes what this node makes: at once when it was idle, collected for a moment under load, in batches encoded once.

Runs on the thread of the handshake that made the session: `add` is an append and two comparisons, unless peers or
policies have changed, when it asks anew who may have it. `flush` runs there too where there are few links
(`runtime.pump.pump.INLINE_LINKS_MAX`): it encodes, and never waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from meshcache.core.cache.entry import Entries
from meshcache.core.holders.audience import Audience, Audiences
from meshcache.core.holders.placement import Placement
from meshcache.core.policy.gates import Terms
from meshcache.core.state.members import Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.codec import encode
from meshcache.core.wire.columns import SECONDS_MAX
from meshcache.core.wire.messages import BATCH_BYTES_MAX, BATCH_SESSIONS_MAX, Batch, Push
from meshcache.core.wire.push_template import NewSession, PushTemplate

_NEVER = float("inf")

ALONE_S = 0.05
"""How long sessions that go to nobody may wait to be filed: twenty steps a second, and a new peer waits no longer."""


_FLUSH_S_MIN = 0.0005
"""Flushes that follow each other sooner count as if so much time were between them, so that a rate stays finite."""


class _PushQueue:
    __slots__ = ("asked_until", "due_at", "flushed_at", "name", "per_s", "template", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: deque[NewSession] = deque()
        self.due_at = _NEVER
        self.flushed_at = -_NEVER
        self.asked_until = -_NEVER
        self.per_s = 0.0
        self.template: PushTemplate | None = None

    def flushed(self, count: int, now: float, over_s: float) -> None:
        """Note that so many sessions left, and so how many are made a second, over about so long."""
        passed_s = max(now - self.flushed_at, _FLUSH_S_MIN)
        self.per_s += (count / passed_s - self.per_s) * min(passed_s / over_s, 1.0)
        self.flushed_at = now

    def template_for(self, record: NodeRecord, terms: Terms) -> PushTemplate:
        """Return the bytes that all pushes have while the node says this of itself, and the VIP has these terms."""
        template = self.template
        if template is None or template.record is not record or template.terms is not terms:
            template = self.template = PushTemplate(record, terms)
        return template


class Publisher:
    """What this node made and is to push, a queue for each VIP. ``due_at`` is when the first wants to be flushed."""

    def __init__(
        self,
        limits: Limits,
        telemetry: Telemetry,
        vips: ServedVips,
        outbox: Outbox,
        audiences: Audiences,
        placement: Placement,
    ) -> None:
        self._limits = limits
        self._telemetry = telemetry
        self._vips = vips
        self._outbox = outbox
        self._audiences = audiences
        self._placement = placement
        self._queues: dict[str, _PushQueue] = {}
        self.due_at = _NEVER

    def add(self, served: ServedVip, made: NewSession, now: float) -> None:
        """Queue for every permitted peer; does nothing if there is none."""
        audience = self._audiences.of_own(served.vip.terms)
        if not audience.receivers:
            served.flushed_seq = made.seq
            return
        queue = self._queues.get(served.vip.terms.vip)
        if queue is None:
            queue = self._queues[served.vip.terms.vip] = _PushQueue(served.vip.terms.vip)
        queue.waiting.append(made)
        if len(queue.waiting) >= BATCH_SESSIONS_MAX:
            self._overflow(queue, now)
        elif len(queue.waiting) == 1:
            queue.due_at = max(now, queue.flushed_at + self._collect_s(queue, audience, now))
        self.due_at = min(self.due_at, queue.due_at)

    def add_many(self, served: ServedVip, made: list[NewSession], now: float) -> None:
        """Do as `add` does for several."""
        audience = self._audiences.of_own(served.vip.terms)
        if not audience.receivers:
            served.flushed_seq = made[-1].seq
            return
        self.add(served, made[0], now)
        queue = self._queues[served.vip.terms.vip]
        if len(queue.waiting) + len(made) > BATCH_SESSIONS_MAX:
            for each in made[1:]:
                self.add(served, each, now)
        else:
            queue.waiting.extend(made[1:])

    def collects_until(self, served: ServedVip, now: float) -> float:
        """Return until when nobody misses what is made for this VIP: its next flush, or a moment when it goes to
        nobody.
        """
        audience = self._audiences.of_own(served.vip.terms)
        if not audience.receivers:
            return now + ALONE_S
        queue = self._queues.get(served.vip.terms.vip)
        if queue is None:
            return now
        if queue.waiting:
            return queue.due_at
        return queue.flushed_at + self._collect_s(queue, audience, now)

    def straight(self, served: ServedVip, waiting: int, now: float) -> tuple[PushTemplate, list[str], float] | None:
        """Return what a push of so many sessions, which aren't queued, begins with, where it goes, and until when the
        next are collected, if it may go past the queue: it is due, nothing is before it, and all of it goes to peers
        here that take it. Else None.
        """
        terms = served.vip.terms
        queue = self._queues.get(terms.vip)
        if queue is None or queue.waiting or terms.copies or self._outbox:
            return None
        audience = self._audiences.of_own(terms)
        if audience.relays or not audience.inside:
            return None
        collect_s = self._collect_s(queue, audience, now)
        if waiting < BATCH_SESSIONS_MAX and queue.flushed_at + collect_s > now:
            return None
        ready = [peer.address for peer in audience.inside if peer.blocked_until <= now]
        if len(ready) < len(audience.inside):
            return None
        return queue.template_for(self._vips.record, terms), ready, now + collect_s

    def went_straight(self, served: ServedVip, payload: bytes, count: int, receivers: int, now: float) -> None:
        """Count a push that is on its way past the queue."""
        queue = self._queues[served.vip.terms.vip]
        queue.flushed(count, now, self._limits.busy_s)
        served.flushed_seq = served.last_seq
        served.counters.pushed += count
        self._outbox.count_sent(receivers, payload, Push, count)

    def asked_for(self, session_id: bytes, now: float) -> None:
        """Take note that a peer's handshake waits for a session: if that is still collected here, it is due now, and
        what follows is collected for less for a while."""
        for queue in self._queues.values():
            if any(made.id == session_id for made in queue.waiting):
                queue.asked_until = now + self._limits.asked_for_s
                queue.due_at = min(queue.due_at, now)
                self.due_at = min(self.due_at, now)

    def waiting(self) -> int:
        """Return how many sessions wait in the longest queue."""
        return max((len(queue.waiting) for queue in self._queues.values()), default=0)

    def flush(self, now: float) -> None:
        """Send what is due."""
        if self.due_at > now:
            return
        due_at = _NEVER
        for queue in self._queues.values():
            if queue.due_at <= now:
                self._flush(queue, now)
            elif queue.due_at < due_at:
                due_at = queue.due_at
        self.due_at = due_at

    def flush_all(self, now: float) -> None:
        """Send everything that waits: this node is going."""
        for queue in self._queues.values():
            self._flush(queue, now)

    def drop_certified(self, name: str) -> None:
        """Forget what waits for a VIP and was made with a client certificate: its VIP exports none any more."""
        queue = self._queues.get(name)
        if queue is not None:
            staying = [made for made in queue.waiting if not made.certified]
            queue.waiting.clear()
            queue.waiting.extend(staying)

    def drop_waiting(self, name: str) -> None:
        """Forget what waits for a VIP, which goes on."""
        queue = self._queues.get(name)
        if queue is not None:
            queue.waiting.clear()
            queue.due_at = _NEVER

    def drop_vip(self, name: str) -> None:
        """Forget a VIP that is served no more, with what waits for it."""
        self._queues.pop(name, None)

    def _collect_s(self, queue: _PushQueue, audience: Audience, now: float) -> float:
        awaited_s = audience.awaited_s if queue.asked_until <= now else 0.0
        asks = audience.asks and queue.per_s >= self._limits.busy_per_s
        return self._limits.flush_s(audience.receivers, awaited_s, asks=asks)

    def _overflow(self, queue: _PushQueue, now: float) -> None:
        queue.due_at = min(queue.due_at, now)
        if len(queue.waiting) > self._limits.outbox_sessions:
            queue.waiting.popleft()
            self._telemetry.drop(Drop.OUTBOX_FULL)

    def _flush(self, queue: _PushQueue, now: float) -> None:
        queue.due_at = _NEVER
        queue.flushed(len(queue.waiting), now, self._limits.busy_s)
        served = self._vips.get(queue.name)
        if served is None or not queue.waiting:
            return
        audience = self._audiences.of_own(served.vip.terms)
        waiting = list(queue.waiting)
        queue.waiting.clear()
        served.flushed_seq = max(served.flushed_seq, waiting[-1].seq)  # newer ones may have gone to nobody
        for made in [waiting] if len(waiting) == 1 else _batches(waiting):
            inside = self._push_inside(queue, served, made, now, audience)
            relays = self._push(queue, served, made, now, audience.relays, relay=True) if audience.relays else 0
            served.counters.pushed += max(inside, relays)

    def _push_inside(
        self, queue: _PushQueue, served: ServedVip, made: list[NewSession], now: float, audience: Audience
    ) -> int:
        """Send a batch to everybody in the colo, or to each node what it is to hold of it."""
        terms = served.vip.terms
        if not terms.copies:
            return self._push(queue, served, made, now, audience.inside, relay=False)
        shares = self._placement.shares(terms, ((each.id, each) for each in made))
        pushed = {
            each.seq
            for peer, share in shares
            if self._push(queue, served, share, now, [peer], relay=False)
            for each in share
        }
        return len(pushed)

    def _push(
        self,
        queue: _PushQueue,
        served: ServedVip,
        made: Sequence[NewSession],
        now: float,
        peers: list[Peer],
        *,
        relay: bool,
    ) -> int:
        """Send a batch to those of these peers that aren't blocked. Return how many sessions are on their way."""
        ready = self._ready(peers, now)
        if not ready:
            return 0
        terms, record, first = served.vip.terms, self._vips.record, made[0]
        age_us = min(int((now - first.made_at) * 1e6), SECONDS_MAX)
        if len(made) == 1 and PushTemplate.suits(first):
            payload = queue.template_for(record, terms).write(first, now, age_us, relay=relay)
        elif PushTemplate.suits_all(made):
            payload = queue.template_for(record, terms).write_all(made, now, age_us, relay=relay)
        else:
            batch = Batch(terms, record.incarnation, record.age, first.seq, made[-1].seq, _columns(made, now))
            payload = encode(record.node, record.incarnation, Push(batch, relay, age_us))
        self._outbox.send_encoded(ready, payload, Push, len(made))
        return len(made)

    def _ready(self, peers: list[Peer], now: float) -> list[str]:
        ready = [peer.address for peer in peers if peer.blocked_until <= now]
        if len(ready) < len(peers):
            self._telemetry.drop(Drop.PEER_BLOCKED, len(peers) - len(ready))
        return ready


def _batches(waiting: list[NewSession]) -> list[list[NewSession]]:
    batches: list[list[NewSession]] = [[]]
    size = 0
    for made in waiting:
        cost = len(made.id) + len(made.der)
        if len(batches[-1]) >= BATCH_SESSIONS_MAX or size + cost > BATCH_BYTES_MAX:
            batches.append([])
            size = 0
        batches[-1].append(made)
        size += cost
    return batches


def _columns(made: Sequence[NewSession], now: float) -> Entries:
    seqs, ids, ders, expiries, births, certified, _ = zip(*made, strict=True)
    remaining = [max(int(expires_at - now), 0) for expires_at in expiries]
    elapsed = [max(round(now - born_at), 0) for born_at in births]
    return Entries(seqs, ids, ders, remaining, elapsed, certified)
