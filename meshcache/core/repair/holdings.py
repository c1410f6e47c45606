"""Keeps as many copies as an origin wants: tells each other holder what this node has that it is to hold too, and
fetches what others tell and isn't here.

After a change of who is there it goes through all that is held, a little at a time, and now and then without one; what
is new is told twice within seconds, since the push of it may have got lost. Only numbers are told, and only those of
sessions that both are to hold; only what is missing moves, by `repair`'s fetches, through the gates.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.streams import Stream
from meshcache.core.control.recall import Recall
from meshcache.core.holders.own_share import OwnShare
from meshcache.core.holders.placement import Placement
from meshcache.core.holders.telling import Telling
from meshcache.core.repair.repair import Repair
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import FETCH_RANGES_MAX, FetchEnd, Holding

_TRIES_MAX = 8
"""Times that a holder may be busy or silent for one fetch; it, or another one, tells of it again."""

_BUSY_S = 0.5

_FULL = 0.95
"""Of a VIP's part of the cache: then what is older than all of a stream that is left here was evicted."""

_NEVER = float("inf")


@dataclass(slots=True)
class _Wanted:
    peer: str
    key: StreamKey
    ranges: tuple[tuple[int, int], ...]
    seqs: tuple[int, ...]
    due_at: float
    tries: int = 0


@dataclass(slots=True)
class _Pass:
    """One way through the streams: what is left of it. ``since`` are the numbers beyond which sessions are new."""

    streams: deque[StreamKey]
    whole: bool
    since: dict[StreamKey, int] = field(default_factory=dict)
    before: int = 0


class _Vain(NamedTuple):
    """Until when a number isn't fetched, and how often it was in vain."""

    until: float
    times: int


_NEVER_VAIN = _Vain(0.0, 0)

_VAIN_S = 0.5
"""The first pause is four times that, each further one four times the last: a part of an answer may get lost."""


class Holdings:
    """What is to be told, where this node is in telling it, and what it fetches for others' telling."""

    def __init__(
        self,
        local: LocalNode,
        cache: SessionCache,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        recall: Recall,
        repair: Repair,
        placement: Placement,
        now: float,
    ) -> None:
        self._local = local
        self._cache = cache
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._recall = recall
        self._repair = repair
        self._placement = placement
        self.share = OwnShare(local, vips, members, outbox, now)
        self._served: set[str] = set()
        self._seen_for = self._stamp()
        self._active = False
        self._pass: _Pass | None = None
        self._step_at = _NEVER
        self._whole_at = self._recent_at = now + local.limits.holdings_recent_s
        self._marks: tuple[dict[StreamKey, int], dict[StreamKey, int]] = ({}, {})
        self._queue: deque[_Wanted] = deque()
        self._asking = 0
        self._wanted: set[tuple[StreamKey, int]] = set()
        self._wanted_of: Counter[str] = Counter()
        self._vain: OrderedDict[tuple[StreamKey, int], _Vain] = OrderedDict()

    @property
    def settled(self) -> bool:
        """Whether nothing is to be fetched that others have told of."""
        return not self._wanted

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        if not self._any():
            return _NEVER
        fetch_at = min((wanted.due_at for wanted in self._queue), default=_NEVER)
        fetch_at = fetch_at if self._asking < self._local.limits.holdings_fetches_max else _NEVER
        if self._stamp() != self._seen_for:
            return 0.0
        tell_at = min(self._whole_at, self._recent_at) if self._pass is None else self._step_at
        return min(
            self.share.until,
            tell_at,
            fetch_at,
            self._whole_at if self._pass is None or not self._pass.whole else _NEVER,
        )

    def tick(self, now: float) -> None:
        """Tell a little of what is held, and fetch what is wanted."""
        limits = self._local.limits
        if self._stamp() != self._seen_for:
            self._seen_for, self._active = self._stamp(), self._concerned()
            self._pass = None
            self._vain.clear()  # who refused it may have heard other terms
            self._look_for_more_vips(now)
            if self._active:
                self._whole_at = now + limits.holdings_settle_s * (0.75 + 0.5 * self._local.rng.random())
        self.share.give_up(now)
        if not self._active:
            return
        if self._pass is None or (self._whole_at <= now and not self._pass.whole):
            self._begin(now)
        if self._pass is not None and self._step_at <= now:
            self._step(self._pass, now)
        self._fetch(now)

    def received(self, peer: Peer, told: Holding, now: float) -> None:
        """Note to fetch what a peer has that this node is to hold and hasn't got."""
        if not told.held:
            self.share.told(peer, now)
        limits = self._local.limits
        room = limits.holdings_queue_max // 8 - sum(wanted.peer == peer.name for wanted in self._queue)
        for key, seqs in told.held if self._active else ():
            if room <= 0:
                return
            stream = self._cache.streams.get(key)
            foreign = stream is None or bool(stream.terms.copies)
            if not self._made_here(key) and foreign and self._recall.allows(key):
                room -= self._want(peer, key, seqs, stream, now)

    @property
    def has_share(self) -> bool:
        """Whether this node holds what it is to hold of all that others made before it came, or waited long enough."""
        return not self._any() or self.share.look(fetching=bool(self._wanted))

    def _look_for_more_vips(self, now: float) -> None:
        """Wait for the share of a VIP that wasn't served before."""
        before, self._served = self._served, {served.vip.terms.vip for served in self._vips}
        if self._served - before:
            self.share.begin(now)

    def _made_here(self, key: StreamKey) -> bool:
        """Return whether this process made what is in a stream, under whichever number of its life."""
        own = self._local.identity
        former = frozenset[int]().union(*(served.former for served in self._vips))
        return key.origin == own.node and (key.incarnation == own.incarnation or key.incarnation in former)

    def _any(self) -> bool:
        """Return whether anybody's sessions are for some nodes only, as far as is known here."""
        return self._active or self._stamp() != self._seen_for

    def _concerned(self) -> bool:
        own = any(served.vip.terms.copies for served in self._vips)
        return own or any(terms.copies for peer in self._members for terms in peer.record.vips)

    def _stamp(self) -> tuple[int, int]:
        return self._members.generation, self._vips.record.revision

    # --- telling

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
            held = sum(stream.entries.count for stream in streams)
            pause_s = max(limits.holdings_s, held * limits.holdings_s_per_session)
            self._whole_at = now + pause_s * (0.8 + 0.4 * self._local.rng.random())

    def _step(self, going: _Pass, now: float) -> None:
        room = self._local.limits.holdings_step
        telling = Telling()
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
                self.share.went_through()

    def _tell_of(self, stream: Stream, going: _Pass, room: int, telling: Telling) -> int:
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

    # --- fetching

    def _want(self, peer: Peer, key: StreamKey, seqs: tuple[int, ...], stream: Stream | None, now: float) -> int:
        """Queue fetches of what is missing here. Return how many."""
        limits, oldest = self._local.limits, self._oldest_wanted(stream)
        missing = {
            seq
            for seq in seqs
            if seq > oldest
            and (stream is None or seq not in stream.entries)
            and (key, seq) not in self._wanted
            and self._vain.get((key, seq), _NEVER_VAIN).until <= now
        }
        ranges = list(_ranges(seqs, missing))
        for at in range(0, len(ranges), FETCH_RANGES_MAX):
            if len(self._queue) >= limits.holdings_queue_max or len(self._wanted) >= limits.holdings_wanted_max:
                break
            part = tuple(ranges[at : at + FETCH_RANGES_MAX])
            among = tuple(seq for seq in missing if part[0][0] <= seq <= part[-1][1])
            if self._wanted_of[peer.name] + len(among) > limits.holdings_wanted_max // 2:
                break  # others tell too; it is told again
            self._queue.append(_Wanted(peer.name, key, part, among, now))
            self._wanted.update((key, seq) for seq in among)
            self._wanted_of[peer.name] += len(among)
        return -(-len(ranges) // FETCH_RANGES_MAX)

    def _oldest_wanted(self, stream: Stream | None) -> int:
        """Return the number up to which nothing is wanted of a stream: what was evicted here would be again."""
        vip_cache = None if stream is None else self._cache.vip_cache(stream.vip)
        if stream is None or vip_cache is None:
            return 0
        full = vip_cache.bytes > _FULL * vip_cache.bytes_max or len(vip_cache) > _FULL * vip_cache.sessions_max
        return stream.entries.lowest if full else 0

    def _fetch(self, now: float) -> None:
        limits = self._local.limits
        for _ in range(len(self._queue)):
            if self._asking >= limits.holdings_fetches_max:
                return
            wanted = self._queue.popleft()
            peer = self._members.get(wanted.peer)
            if peer is None or peer.state is not PeerState.ALIVE or wanted.tries > _TRIES_MAX:
                self._forget(wanted)
            elif wanted.due_at > now or self._repair.asking(peer) >= limits.fetches_per_peer:
                wanted.due_at = max(wanted.due_at, now + _BUSY_S / 10)
                self._queue.append(wanted)
            else:
                self._ask(peer, wanted, now)

    def _ask(self, peer: Peer, wanted: _Wanted, now: float) -> None:
        def ended(end: FetchEnd | None, batches: int, then: float) -> None:
            self._asking -= 1
            self._ended(wanted, end, batches, then)

        self._asking += 1
        self._repair.ask(peer, wanted.key, wanted.ranges, now, ended)

    def _ended(self, wanted: _Wanted, end: FetchEnd | None, batches: int, now: float) -> None:
        if end in (FetchEnd.BUSY, None) or (end is FetchEnd.MORE and batches):
            wanted.tries += end is not FetchEnd.MORE
            wanted.due_at = now + (0 if end is FetchEnd.MORE else _BUSY_S * (0.5 + self._local.rng.random()))
            wanted.ranges = tuple(self._left(wanted)) or wanted.ranges
            self._queue.append(wanted)
            return
        self._forget(wanted)
        limits, stream = self._local.limits, self._cache.streams.get(wanted.key)
        for seq in wanted.seqs:
            name = wanted.key, seq
            times = self._vain.pop(name, _NEVER_VAIN).times + 1
            if stream is None or seq not in stream.entries:
                pause_s = min(_VAIN_S * 4**times, limits.holdings_vain_s)
                self._vain[name] = _Vain(now + pause_s, times)
        while len(self._vain) > limits.holdings_vain_max:
            self._vain.popitem(last=False)

    def _left(self, wanted: _Wanted) -> Iterator[tuple[int, int]]:
        """Yield the ranges of which something is missing still."""
        stream = self._cache.streams.get(wanted.key)
        for first, last in wanted.ranges:
            missing = [seq for seq in wanted.seqs if first <= seq <= last]
            if stream is None or any(seq not in stream.entries for seq in missing):
                yield first, last

    def _forget(self, wanted: _Wanted) -> None:
        self._wanted.difference_update((wanted.key, seq) for seq in wanted.seqs)
        self._wanted_of[wanted.peer] -= len(wanted.seqs)
        if not self._wanted_of[wanted.peer]:
            del self._wanted_of[wanted.peer]


def _ranges(told: tuple[int, ...], missing: set[int]) -> Iterator[tuple[int, int]]:
    """Yield ranges with all that is missing of what was told, and nothing of it that is here."""
    first = last = 0
    for seq in told:
        if seq in missing:
            first, last = first or seq, seq
        elif first:
            yield first, last
            first = 0
    if first:
        yield first, last
