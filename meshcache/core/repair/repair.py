"""Finds what is missing and fetches it: from the origin if it lives, else from whoever claims to have it, else anyone.

A gap is given a moment to close by itself. Peers are asked one after the other with growing pauses; in the end a gap
rests until somebody claims to have it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meshcache.core.cache.streams import Stream, StreamTable
from meshcache.core.control.recall import Recall
from meshcache.core.repair.gaps import Gap, Gaps
from meshcache.core.replication.intake import Intake, aged
from meshcache.core.replication.relaying import Relaying
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.outlet import Outlet
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import FETCH_RANGES_MAX, Fetch, FetchEnd, FetchReply, Heartbeat

_HOLDERS_MAX = 4
"""Peers remembered as claiming to have what is missing."""

_BUSY_S = 0.4

_PAUSE_GROWTH = 1.5

_TOKENS = 1 << 32

_NEVER = float("inf")


@dataclass(slots=True)
class _Asked:
    peer: str
    key: StreamKey
    ranges: tuple[tuple[int, int], ...]
    at: float
    until: float
    on_end: Callable[[FetchEnd | None, int, float], None]
    batches: int = 0


class Repair:
    """Gaps by stream, and the fetches that are under way to close them."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        streams: StreamTable,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        recall: Recall,
        relaying: Relaying,
        intake: Intake,
        outlet: Outlet,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._streams = streams
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._recall = recall
        self._relaying = relaying
        self._intake = intake
        self._outlet = outlet
        self._gaps = Gaps(local.limits.gaps_max)
        self._asked: dict[int, _Asked] = {}
        self._paused = False

    def pause(self) -> None:
        """Fill no gaps for a while: a snapshot fetches what is missing. What is asked for by `ask` goes on."""
        self._paused = True

    def go_on(self) -> None:
        """Fill gaps from now on: the snapshot is over."""
        self._paused = False

    @property
    def gaps(self) -> int:
        """Return how many streams have a gap that is known here."""
        return len(self._gaps)

    @property
    def fetches(self) -> int:
        """Return how many fetches are under way."""
        return len(self._asked)

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        timeouts = min((asked.until for asked in self._asked.values()), default=_NEVER)
        if self._paused or len(self._asked) >= self._local.limits.fetches_max:
            return timeouts
        return min(timeouts, min((gap.due_at for gap in self._gaps if gap.token is None), default=_NEVER))

    def heartbeat_received(self, peer: Peer, beat: Heartbeat, now: float) -> None:
        """Note gaps in the sender's own streams: a heartbeat says how far they go."""
        record = peer.record
        if beat.revision != record.revision:
            return
        for terms, newest in zip(record.vips, beat.newest, strict=False):
            if newest and self._vips.accept(terms)[0]:
                inside = peer.colo == self._local.identity.colo
                grace_s = self._local.limits.gap_grace_s if inside else self._local.limits.hearsay_grace_s
                key = StreamKey(peer.name, record.incarnation, terms.vip)
                self._made(key, newest, now + grace_s, copies=terms.copies > 0)

    def claim_received(self, peer: Peer, key: StreamKey, flat: tuple[int, ...], now: float) -> None:
        """Note as a gap what a peer has seen of one stream and this node hasn't, if it may have it."""
        own = self._local.identity
        if not flat or key[:2] == (own.node, own.incarnation) or not self._recall.allows(key):
            return
        stream = self._streams.get(key)
        if stream is not None and stream.terms.copies:
            return
        pairs = zip(flat[::2], flat[1::2], strict=True)
        if stream is None or not all(stream.seen.covers(first, last) for first, last in pairs):
            self._claimed(key, flat[-1], peer, now + self._grace_s(key))

    def gap_seen(self, peer: Peer, stream: Stream, now: float) -> None:
        """Note that something before a batch of a peer has not come; it may still be on its way."""
        gap = self._note(stream.key, stream.newest, peer.name, now + self._local.limits.gap_grace_s)
        if gap is not None and gap.token is None and gap.attempts > 1:
            gap.attempts, gap.due_at = 0, min(gap.due_at, now + self._local.limits.heartbeat_s)

    def tick(self, now: float) -> None:
        """Give up on those who don't answer, and fetch what is due."""
        for token, asked in list(self._asked.items()):
            if asked.until <= now:
                del self._asked[token]
                asked.on_end(None, asked.batches, now)
        if self._paused:
            return
        for key, gap in self._gaps.due(now):
            if len(self._asked) >= self._local.limits.fetches_max:
                return
            self._fetch(key, gap, now)

    def ask(
        self,
        peer: Peer,
        key: StreamKey,
        ranges: tuple[tuple[int, int], ...],
        now: float,
        on_end: Callable[[FetchEnd | None, int, float], None],
        snapshot: bool = False,
    ) -> int:
        """Fetch ranges of a stream from a peer, and return the question's token; `on_end` gets how it ended (None: no
        answer) and how much came.
        """
        token = self._local.rng.randrange(_TOKENS)
        while token in self._asked:
            token = (token + 1) % _TOKENS
        until = now + self._local.limits.fetch_timeout_s
        self._asked[token] = _Asked(peer.name, key, ranges, now, until, on_end)
        self._outbox.send(peer.address, Fetch(token, key, ranges, snapshot))
        return token

    def asking(self, peer: Peer) -> int:
        """Return how many fetches a peer owes answers to."""
        return sum(asked.peer == peer.name for asked in self._asked.values())

    def reply_received(self, peer: Peer, fill: FetchReply, now: float) -> None:
        """Take in a part of an answer, if it answers what this peer was asked."""
        self._telemetry.count_received(fill.batch)
        asked = self._asked.get(fill.token)
        if asked is None or asked.peer != peer.name or not _fits(asked, fill):
            self._telemetry.drop(Drop.UNASKED_FILL)
            return
        asked.until = now + self._local.limits.fetch_timeout_s
        if fill.batch is not None:
            self._take(peer, fill, asked, now)
        if fill.end is not None:
            del self._asked[fill.token]
            asked.on_end(fill.end, asked.batches, now)

    def missing(self, key: StreamKey, upto: int) -> tuple[tuple[int, int], ...]:
        """Return the gaps of a stream up to a number, highest first, as many as one fetch may ask for."""
        stream = self._streams.get(key)
        gaps = list(stream.seen.missing(upto)) if stream is not None else [(1, upto)] if upto else []
        return tuple(gaps[-FETCH_RANGES_MAX:])

    def _claimed(self, key: StreamKey, upto: int, holder: Peer, due_at: float) -> None:
        """A peer claims to have seen a stream up to a number: note what is missing here.

        Of a stream whose origin lives and is linked, only the origin says how far it goes.
        """
        stream = self._streams.get(key)
        origin = self._members.get(key.origin)
        told_by_origin = origin is not None and origin.state is PeerState.ALIVE and origin is not holder
        if told_by_origin and origin is not None and origin.record.incarnation == key.incarnation:
            upto = min(upto, stream.newest if stream is not None else 0)
        if not upto or (stream is not None and stream.seen.covers(1, upto)):
            return
        gap = self._note(key, upto, holder.name, due_at)
        if gap is None:
            return
        gap.holders = [holder.name, *(name for name in gap.holders if name != holder.name)][:_HOLDERS_MAX]
        if gap.token is None and gap.attempts:  # here is somebody who has some of it
            gap.attempts, gap.due_at = 0, min(gap.due_at, due_at)

    def _take(self, peer: Peer, fill: FetchReply, asked: _Asked, now: float) -> None:
        assert fill.batch is not None, "the caller looked"
        batch = aged(fill.batch, int(min(peer.late_at(now), now - asked.at)))  # an answer is younger than its question
        own = batch.terms.node == peer.name
        objection = None if own else self._relaying.hearsay_objection(batch)
        if objection is not None:
            self._telemetry.drop(objection)
            return
        asked.batches += 1
        whole = own or not self._relaying.origin_answers(batch)
        stream = self._intake.take(batch, now, own=own, whole=whole, repaired=True)
        if stream is None or not batch.entries.ids:
            return
        self._relaying.pass_on_fetched(batch, peer)
        if not own and not batch.terms.copies:
            self._outlet.hearsay_heard(now)

    def _made(self, key: StreamKey, newest: int, due_at: float, *, copies: bool) -> None:
        stream = self._streams.get(key)
        if copies and (stream is None or 1 not in stream.seen):
            return  # what this node relays begins where it is told to begin
        if stream is not None:
            stream.made(newest)
        if stream is not None and stream.seen.covers(1, newest):
            return
        gap = self._note(key, newest, key.origin, due_at)
        if gap is not None and gap.token is None and gap.attempts > 1:  # the origin lives: it is worth asking again
            gap.attempts, gap.due_at = 0, min(gap.due_at, due_at + self._local.limits.heartbeat_s)

    def _note(self, key: StreamKey, upto: int, teller: str, due_at: float) -> Gap | None:
        gap = self._gaps.get(key)
        if gap is None:
            if self._gaps.full:
                self._telemetry.drop(Drop.GAPS_FULL)
            gap = Gap(upto, due_at, teller)
            return gap if self._gaps.add(key, gap) else None
        self._gaps.told(key, teller)
        if upto > gap.upto:
            gap.upto = upto
            if gap.token is None and gap.attempts:
                gap.attempts, gap.due_at = 0, min(gap.due_at, due_at)
        return gap

    def _fetch(self, key: StreamKey, gap: Gap, now: float) -> None:
        peer = self._members.get(gap.asked) if gap.below else None
        if peer is None or not self._can_be_asked(peer) or not self.missing(key, gap.below):
            gap.below = 0
        upto = gap.below or gap.upto
        ranges = self.missing(key, upto)
        if not ranges or gap.attempts >= self._local.limits.fetch_attempts:
            self._gaps.remove(key)
            return
        if not gap.below:
            peer = self._source(key, gap)
        if peer is None:
            self._later(key, gap, now)
            return

        def ended(end: FetchEnd | None, _batches: int, then: float) -> None:
            self._ended(key, gap, upto, ranges, end, then)

        gap.asked = peer.name
        gap.token = self.ask(peer, key, ranges, now, ended)

    def _ended(
        self, key: StreamKey, gap: Gap, upto: int, asked: tuple[tuple[int, int], ...], end: FetchEnd | None, now: float
    ) -> None:
        """Go on at once as long as something of what was asked for is no longer missing: what comes may be refused."""
        if self._gaps.get(key) is not gap:
            return  # it made room for another one meanwhile
        gap.token, gap.below, below = None, 0, asked[0][0] - 1
        if not self.missing(key, gap.upto):
            self._gaps.remove(key)
        elif end is FetchEnd.DONE and self.missing(key, below):
            gap.below, gap.due_at = below, now
        elif end is FetchEnd.MORE and self.missing(key, upto) != asked:
            gap.attempts, gap.due_at = 0, now
        elif end is FetchEnd.BUSY:
            gap.due_at = now + _BUSY_S * (1 + self._local.rng.random())
        else:
            self._later(key, gap, now)

    def _later(self, key: StreamKey, gap: Gap, now: float) -> None:
        """Pause, longer each time; after the last attempt the gap rests until there is news of it."""
        limits = self._local.limits
        gap.attempts += 1
        pause_s = min(limits.fetch_timeout_s / 4 * _PAUSE_GROWTH**gap.attempts, limits.fetch_retry_s_max)
        if gap.attempts >= limits.fetch_attempts:
            pause_s = limits.forget_s
            self._gaps.given_up(key)
            self._telemetry.drop(Drop.GAP_GIVEN_UP)
        gap.due_at = now + pause_s * (0.8 + 0.4 * self._local.rng.random())

    def _source(self, key: StreamKey, gap: Gap) -> Peer | None:
        """Choose whom to ask at this attempt: first the origin and those who claim to have it, one after another.

        Then alternate between a random peer and a claimant, since a question or its answer can get lost.
        """
        members = self._members
        named = [members.get(name) for name in dict.fromkeys([key.origin, *gap.holders])]
        willing = [peer for peer in named if peer is not None and self._can_be_asked(peer)]
        beyond = gap.attempts - len(willing)
        if willing and (beyond < 0 or beyond % 2):
            return willing[gap.attempts % len(willing)]
        others = [peer for peer in members.usable() if peer not in willing and self._can_be_asked(peer)]
        return self._local.pick(others or willing)

    def _grace_s(self, key: StreamKey) -> float:
        """Return how long a gap may close by itself: no time if its origin is gone, since then nothing is under way."""
        origin = self._members.get(key.origin)
        dead = origin is not None and (
            origin.state is not PeerState.ALIVE or origin.record.incarnation > key.incarnation
        )
        return 0.0 if dead else self._local.limits.hearsay_grace_s

    def _can_be_asked(self, peer: Peer) -> bool:
        return peer.state is PeerState.ALIVE and self.asking(peer) < self._local.limits.fetches_per_peer


def _fits(asked: _Asked, fill: FetchReply) -> bool:
    batch = fill.batch
    if batch is None:
        return True
    within = any(first <= batch.first and batch.last <= last for first, last in asked.ranges)
    return within and batch.key == asked.key
