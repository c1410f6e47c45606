"""Hands everything that a node has to the process that follows it under the same name, and takes it over there.

The successor is the same node in its next life, on the same host: neither reach nor a client certificate keeps sessions
and ticket keys from it. All else is judged as what comes from a peer is: groups, settings, lifetimes, withdraws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import floor
from typing import NamedTuple, TypeAlias

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.consumed_ids import ConsumedIds
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.repair.seen_streams import SeenStreams
from meshcache.core.repair.serving import batch_of, parts_of
from meshcache.core.replication.intake import Intake
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.tickets.ticket_duty import TicketDuty
from meshcache.core.values.session import SEQ_MAX, Session, StreamKey
from meshcache.core.wire.messages import (
    BATCH_BYTES_MAX,
    BATCH_SESSIONS_MAX,
    Batch,
    FetchEnd,
    FetchReply,
    Message,
    Withdraw,
)
from meshcache.core.wire.single_use import CONSUMED_IDS_MAX, Consumed
from meshcache.core.wire.ticket_messages import TicketKeys

STAYING = 1
"""The token of a batch whose sessions never leave their node: they get no number of their stream."""


Given: TypeAlias = tuple[str, Sequence[bytes]]
"""A share group, and ids of sessions of it that were given. Ids are secrets."""


class Piece(NamedTuple):
    """Some sessions of one stream, and the numbers that they stand for. Ids are secrets."""

    key: StreamKey
    first: int
    last: int
    ids: list[bytes]

    def __repr__(self) -> str:
        return f"<Piece of {self.key.origin} {self.first}..{self.last}>"


class HandOver:
    """Gives this node's sessions and keys to its next life, and takes those of its former one.

    Every method is quick, so that handshakes needn't wait while a cache is handed over.
    """

    def __init__(
        self,
        local: LocalNode,
        cache: SessionCache,
        vips: ServedVips,
        members: Members,
        seen: SeenStreams,
        intake: Intake,
        withdraws: Withdraws,
        consumed: ConsumedIds,
        tickets: TicketDuty,
    ) -> None:
        self._local = local
        self._cache = cache
        self._vips = vips
        self._members = members
        self._seen = seen
        self._intake = intake
        self._withdraws = withdraws
        self._consumed = consumed
        self._tickets = tickets
        self._former_s: Mapping[str, float] = {}
        """By VIP, how long sessions lived at the predecessor: an entry says when it ends, not when it was made."""

    # --- the side that leaves ---

    def lives(self) -> list[int]:
        """Return the numbers of the lives under which this process made sessions."""
        former = frozenset[int]().union(*(served.former for served in self._vips))
        return sorted(former | {self._local.identity.incarnation})

    def lifetimes(self) -> dict[str, float]:
        """Return how long sessions of each VIP live."""
        return {served.vip.terms.vip: served.vip.lifetime_s for served in self._vips}

    def peers(self) -> list[str]:
        """Return where the peers are."""
        return [peer.address for peer in self._members]

    def marks(self) -> dict[StreamKey, int]:
        """Return how far each stream was seen: give it to `pieces` later, for what has come since."""
        return {
            stream.key: max((last for _, last in self._seen.of(stream)), default=0) for stream in self._cache.streams
        }

    def pieces(self, after: Mapping[StreamKey, int]) -> list[Piece]:
        """Return what there is of each stream, above these numbers, newest first: a copy of the ids."""
        return [
            piece
            for stream in self._cache.streams
            for begin in [max(after.get(stream.key, 0) + 1, stream.found_from)]
            for low, high in parts_of(self._seen.of(stream), [(begin, SEQ_MAX)])
            for piece in _cut(stream.key, low, high, list(stream.entries.downwards(high + 1)))
        ]

    def messages(self, piece: Piece, now: float) -> list[FetchReply]:
        """Return the sessions of one piece that are here still."""
        stream = self._cache.streams.get(piece.key)
        if stream is None:
            return []
        found = (self._cache.peek(stream.vip, session_id) for session_id in piece.ids)
        living = [session for session in found if session is not None and session.expires_at - now >= 1]
        parts = list(_by_bytes(living)) or [[]]
        firsts = [*(sessions[-1].seq for sessions in parts[:-1]), piece.first]
        lasts = [piece.last, *(first - 1 for first in firsts)]
        return [
            FetchReply(0, batch_of(stream, first, last, sessions, now), FetchEnd.DONE)
            for sessions, first, last in zip(parts, firsts, lasts, strict=False)
        ]

    def rest(self, now: float) -> list[Message]:
        """Return what has no place in a stream: sessions that never leave their node, the withdraws in force, the
        ticket keys, each ring's with the one that encrypts first, and what was used up of late. They are secrets.
        """
        staying: dict[StreamKey, list[Session]] = {}
        for served in self._vips:
            for session in self._cache.sessions(served.vip.terms.vip):
                if not session.seq and session.expires_at - now >= 1:
                    staying.setdefault(session.stream, []).append(session)
        messages: list[Message] = []
        for key, sessions in staying.items():
            stream = self._cache.streams.get(key)
            if stream is None:
                continue
            for some in _by_bytes(sessions):
                batch = batch_of(stream, 1, len(some), some, now)
                entries = batch.entries._replace(seqs=range(1, len(some) + 1))
                messages.append(FetchReply(STAYING, replace(batch, entries=entries), FetchEnd.DONE))
        messages += (*self._withdraws.in_force(now), *self._tickets.bequeathed(now))
        return messages + _used_up(self._consumed.by_group())

    def gone(self, given: Iterable[Given]) -> list[Message]:
        """Return word of what was given before and isn't here any more: it was used up, withdrawn or dropped since.

        What went for want of room is told with it: it is what was used longest ago, and not worth telling apart.
        """
        here: dict[str, set[bytes]] = {}
        gone: dict[str, list[bytes]] = {}
        for group, ids in given:
            if group not in here:  # all at once: clients wait meanwhile, and to ask for each takes ten times as long
                here[group], gone[group] = self._ids_of(group), []
            gone[group] += [each for each in ids if each not in here[group]]
        return _used_up(gone)

    # --- the side that comes ---

    def take(self, message: Message, now: float) -> int:
        """Take over what a predecessor's `messages`, `rest` and `gone` gave, in whatever order. Return how many
        sessions it brought.
        """
        if isinstance(message, Withdraw):
            self._withdraws.inherit(message, now)
            self._tickets.follow(now)
        elif isinstance(message, Consumed):
            self._take_used_up(message, now)
        elif isinstance(message, TicketKeys):
            self._tickets.inherit(message, now)
        elif isinstance(message, FetchReply) and message.batch is not None:
            verdict, vip = self._vips.inherit(message.batch.terms)
            served = self._vips.get(vip) if verdict else None
            batch = message.batch if served is None else self._shortened(message.batch, served)
            if message.token != STAYING:
                self._intake.take(batch, now, inherited=True)
            elif served is not None:
                self._take_staying(batch, served, now)
            return len(batch.entries.ids)
        return 0

    def succeed(self, lives: list[int], lifetimes: Mapping[str, float]) -> None:
        """Count sessions of these lives as made here; `lifetimes` are the predecessor's."""
        self._former_s = lifetimes
        for served in self._vips:
            served.former |= frozenset(lives)

    def _shortened(self, batch: Batch, served: ServedVip) -> Batch:
        """Return a batch as a VIP has it whose lifetime went down, as `SessionCache.shorten` does for what is here."""
        new_s, entries = served.vip.lifetime_s, batch.entries
        former_s = self._former_s.get(served.vip.terms.vip, new_s)
        if former_s <= new_s:
            return batch
        left = [
            max(min(remaining, floor(max(new_s - elapsed, remaining - former_s + new_s))), 0)
            for remaining, elapsed in zip(entries.remaining_s, entries.elapsed_s, strict=True)
        ]
        return replace(batch, entries=entries._replace(remaining_s=left))

    def _take_used_up(self, told: Consumed, now: float) -> None:
        vips = self._filed_under(told.group)
        for session_id in told.ids:
            self._consumed.add(told.group, session_id, now, here="")
            for vip in vips:
                self._cache.remove(vip, session_id)

    def _ids_of(self, group: str) -> set[bytes]:
        found = (self._cache.vip_cache(vip) for vip in self._filed_under(group))
        return {each for vip_cache in found if vip_cache is not None for each in vip_cache.ids()}

    def _filed_under(self, group: str) -> list[str]:
        return [served.vip.terms.vip for served in self._vips if served.vip.terms.group == group]

    def _take_staying(self, batch: Batch, served: ServedVip, now: float) -> None:
        stream = self._cache.streams.open(batch.terms, batch.key, served.vip.terms.vip, now)
        if stream is None:
            return
        stream.age = max(stream.age, batch.age)
        entries = self._intake.permitted_to_stay(stream, batch.entries, served, now)
        for _, session_id, der, remaining_s, elapsed_s, certified in entries.rows():
            self._cache.put(stream, 0, session_id, der, now + remaining_s, now - elapsed_s, bool(certified))


def _cut(key: StreamKey, low: int, high: int, rows: list[tuple[int, bytes]]) -> Iterator[Piece]:
    """Yield pieces from the top down that together stand for `low` to `high` without a gap."""
    rows = [row for row in rows if row[0] >= low]
    last = high
    for start in range(0, len(rows), BATCH_SESSIONS_MAX):
        some = rows[start : start + BATCH_SESSIONS_MAX]
        first = low if start + BATCH_SESSIONS_MAX >= len(rows) else some[-1][0]
        yield Piece(key, first, last, [session_id for _, session_id in some])
        last = first - 1
    if not rows:
        yield Piece(key, low, high, [])


def _used_up(ids: Mapping[str, Sequence[bytes]]) -> list[Message]:
    return [
        Consumed(group, tuple(some[at : at + CONSUMED_IDS_MAX]))
        for group, some in ids.items()
        for at in range(0, len(some), CONSUMED_IDS_MAX)
    ]


def _by_bytes(sessions: list[Session]) -> Iterator[list[Session]]:
    """Split sessions into batches, with as many in each as one may hold."""
    some: list[Session] = []
    size = 0
    for session in sessions:
        cost = len(session.id) + len(session.der)
        if some and (len(some) >= BATCH_SESSIONS_MAX or size + cost > BATCH_BYTES_MAX):
            yield some
            some, size = [], 0
        some.append(session)
        size += cost
    if some:
        yield some
