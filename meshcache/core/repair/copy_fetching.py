"""Fetches what other holders told of that isn't here: what is missing alone, by `repair`'s fetches, through the gates.

What a member tells is a claim: what it invents costs bounded fetches to itself, and what was in vain is left alone for
a while. Tells nobody of anything: `copy_telling` does.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.streams import Stream
from meshcache.core.control.recall import Recall
from meshcache.core.repair.repair import Repair
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import FETCH_RANGES_MAX, FetchEnd, Held

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


class _Vain(NamedTuple):
    """Until when a number isn't fetched, and how often it was in vain."""

    until: float
    times: int


_NEVER_VAIN = _Vain(0.0, 0)

_VAIN_S = 0.5
"""The first pause is four times that, each further one four times the last: a part of an answer may get lost."""


class CopyFetching:
    """What is wanted of other holders, and the fetches under way. Call `told` with what they tell, and `tick`."""

    def __init__(
        self,
        local: LocalNode,
        cache: SessionCache,
        vips: ServedVips,
        members: Members,
        recall: Recall,
        repair: Repair,
    ) -> None:
        self._local = local
        self._cache = cache
        self._vips = vips
        self._members = members
        self._recall = recall
        self._repair = repair
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
        if self._asking >= self._local.limits.holdings_fetches_max:
            return _NEVER
        return min((wanted.due_at for wanted in self._queue), default=_NEVER)

    def try_again(self) -> None:
        """Fetch also what was in vain before: who refused it may have heard other terms."""
        self._vain.clear()

    def told(self, peer: Peer, held: tuple[Held, ...], now: float) -> None:
        """Note to fetch what a peer has that this node is to hold and hasn't got."""
        limits = self._local.limits
        room = limits.holdings_queue_max // 8 - sum(wanted.peer == peer.name for wanted in self._queue)
        for key, seqs in held:
            if room <= 0:
                return
            stream = self._cache.streams.get(key)
            for_few = stream is None or stream.terms.copies or not self._is_heard(key)
            if not self._made_here(key) and for_few and self._recall.allows(key):
                room -= self._want(peer, key, seqs, stream, now)

    def tick(self, now: float) -> None:
        """Ask for what is wanted, of as many at once as the limits allow."""
        limits = self._local.limits
        for _ in range(len(self._queue)):
            if self._asking >= limits.holdings_fetches_max:
                return
            wanted = self._queue.popleft()
            peer = self._members.get(wanted.peer)
            if peer is None or peer.state is not PeerState.ALIVE or wanted.tries > _TRIES_MAX:
                self._forget(wanted)
            elif wanted.due_at > now:
                self._queue.append(wanted)
            elif self._repair.asking(peer) >= limits.fetches_per_peer:
                wanted.due_at = now + _BUSY_S / 10
                self._queue.append(wanted)
            else:
                self._ask(peer, wanted, now)

    def _is_heard(self, key: StreamKey) -> bool:
        """Return whether the maker says itself who is to hold what is in a stream: a last word of one that is gone may
        have reached others only.
        """
        maker = self._members.get(key.origin)
        return maker is not None and maker.state is PeerState.ALIVE and maker.record.incarnation == key.incarnation

    def _made_here(self, key: StreamKey) -> bool:
        """Return whether this process made what is in a stream, under whichever number of its life."""
        own = self._local.identity
        former = frozenset[int]().union(*(served.former for served in self._vips))
        return key.origin == own.node and (key.incarnation == own.incarnation or key.incarnation in former)

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
