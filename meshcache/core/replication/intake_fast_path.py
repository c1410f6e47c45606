"""The short way of a push: one more of a known stream, from its own origin, on the connection it came on before, under
terms that hold still. Its sessions are filed from its bytes, by one call, with no object for each.

Asks what the long way asks (`membership.inbox`, `intake`), and has what isn't plain go there: nothing is refused or
dropped here. Without the compiled cache there is no short way.

Who holds the core's lock without the interpreter may file more of a stream by itself, under a permit that is given here
when one was taken: it holds until anything may have changed, which is whenever the lock is taken for that.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.consumed_ids import ConsumedIds
from meshcache.core.cache.filed_in_c import FiledInC
from meshcache.core.cache.journal import NAME_BYTES
from meshcache.core.cache.quarantine import Quarantine
from meshcache.core.cache.streams import Stream
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.holders.awaiting import Awaiting
from meshcache.core.membership.connections import Connection, Connections, KnownStream
from meshcache.core.policy.gates import Verdict
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.wire.messages import BATCH_SESSIONS_MAX, Push
from meshcache.core.wire.push_template import envelope_of, head_of

_BEFORE_HEAD = 8
"""The map's head and the field that says how old a push is: the most that comes between envelope and stream."""


class Permitted(NamedTuple):
    """What a permit is about, as it was when it was given: nothing of it has changed where the permit was used."""

    known: KnownStream
    link: Connection
    connection: bytes
    served: ServedVip


Filed: TypeAlias = tuple[Permitted, int, bytes, bytes, int, float]
"""What was filed under a permit, of pushes that follow on one another: the number of the first session, the names of
all sessions, the ages of the pushes, microseconds of four bytes, the bytes of all, and when their connection was heard
last."""


class Filer(Protocol):
    """Who files pushes without asking; `hot.Inflow` is one."""

    def permit(
        self,
        token: object,
        connection: bytes,
        envelope: bytes,
        head: bytes,
        table: object,
        stream: int,
        next_seq: int,
        epoch: float,
        lineage_s: float,
        lifetime_s: int,
        heard_at: float,
        silent_s: float,
        messages: float,
        sessions: float,
        /,
    ) -> bool:
        """File pushes on this connection that begin so and go on from this number, until anything changes, so many
        messages and sessions have come, or none came for `silent_s`. Return whether it does.
        """


class IntakeFastPath:
    """Files pushes of streams that it knows from their bytes, and permits C to file more of them by itself.

    `take` is asked first for every message; `learn` is told of each push that went the long way.
    """

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        cache: SessionCache,
        filed_in_c: FiledInC,
        vips: ServedVips,
        members: Members,
        quarantine: Quarantine,
        withdraws: Withdraws,
        consumed: ConsumedIds,
        awaiting: Awaiting,
        connections: Connections,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._cache = cache
        self._filed_in_c = filed_in_c
        self._vips = vips
        self._members = members
        self._quarantine = quarantine
        self._withdraws = withdraws
        self._consumed = consumed
        self._awaiting = awaiting
        self._connections = connections
        self._filer: Filer | None = None

    def permit_to(self, filer: Filer | None) -> None:
        """Have this filer file more by itself from now on: it gets a permit with each push that is taken here. None:
        nobody does. What it files it tells by `filed`.
        """
        self._filer = filer

    def learn(self, connection: bytes, peer: Peer, push: Push) -> None:
        """Take note of what a push of a peer's own was like, which was taken in just now."""
        batch, link = push.batch, self._connections.get(connection)
        stream = self._cache.streams.get(batch.key)
        if link is None or stream is None or stream.reads is None or batch.terms.node != peer.name:
            return
        if stream.terms.copies:  # its numbers don't follow on one another here, and a relay keeps some of it only
            return
        if batch.incarnation != peer.record.incarnation or batch.terms.colo != peer.colo or batch.age != stream.age:
            return
        envelope = envelope_of(peer.name, batch.incarnation)
        head = head_of(batch.terms, batch.incarnation, batch.age[1])
        known = KnownStream(
            peer,
            peer.record,
            link.sender,
            batch.terms,
            batch.age,
            batch.key,
            stream,
            envelope,
            head,
            len(envelope),
            len(envelope) + _BEFORE_HEAD + len(head),
            batch.terms.colo == self._local.identity.colo,
        )
        link.learn(known)

    def take(self, connection: bytes, payload: bytes, now: float) -> bool:
        """File a push that is like those before it, and return true. False, with nothing done, when it has to go the
        long way.
        """
        link = self._connections.get(connection)
        if link is None or self._awaiting:
            return False
        for known in link.known:
            if payload.find(known.head, known.begin, known.end) > 0:
                if self._withdraws and self._withdraws.may_concern(known.terms, payload):
                    return False
                if self._quarantine and self._quarantine.may_concern(payload):
                    return False
                return self._holds(known, link, connection, now) and self._file(known, link, connection, payload, now)
        return False

    def _holds(self, known: KnownStream, link: Connection, connection: bytes, now: float) -> bool:
        """Return whether all is as it was: who speaks, that it is well, and the stream."""
        peer, stream = known.peer, known.stream
        return (
            link.sender is known.sender
            and not stream.terms.copies
            and peer.record is known.record
            and self._members.get(known.record.node) is peer
            and peer.state is PeerState.ALIVE
            and now - peer.heard_at <= self._local.limits.probe_after_s
            and peer.late_s < 1
            and peer.reaches_us
            and peer.way_back == (peer.address, connection)
            and peer.origin_bucket.holds(BATCH_SESSIONS_MAX, now)
            and self._cache.streams.get(known.key) is stream
            and stream.age == known.age
        )

    def _file(self, known: KnownStream, link: Connection, connection: bytes, payload: bytes, now: float) -> bool:
        """Ask who may have it, file it, and count it, as `intake` does."""
        stream = known.stream
        first, (verdict, vip) = stream.seen.goes_on, self._vips.accept(known.terms)
        served = self._vips.get(vip) if verdict is Verdict.ALLOWED and vip == stream.vip else None
        if served is None or not stream.newest < first or not link.bucket.take(1, now):
            return False
        filed = self._filed_in_c.put_push(
            stream, payload, known.envelope, known.head, first, served.vip.lineage_s, served.vip.lifetime_s, now
        )
        if filed is None:
            link.bucket.give_back(1)
            return False
        last, _, age_us = filed
        permitted = Permitted(known, link, connection, served)
        self._count(permitted, first, last, (age_us,), len(payload), now)
        if self._consumed:
            self._forget_consumed(stream, first, last, served)
        if self._filer is not None:
            self._permit(self._filer, permitted, now)
        return True

    def _permit(self, filer: Filer, permitted: Permitted, now: float) -> None:
        """Let more of a stream be filed without asking, where no message of it can be one that may not be."""
        known, link, connection, served = permitted
        peer, stream = known.peer, known.stream
        if (
            self._consumed
            or self._quarantine
            or (self._withdraws and self._withdraws.may_concern_any(known.terms))
            or not stream.newest < stream.seen.goes_on
            or not self._filed_in_c.can(stream)
        ):
            return
        filer.permit(
            permitted,
            connection,
            known.envelope,
            known.head,
            stream.reads,
            stream.index,
            stream.seen.goes_on,
            self._cache.epoch,
            served.vip.lineage_s,
            int(served.vip.lifetime_s),
            now,
            self._local.limits.probe_after_s,
            link.bucket.left(now),
            peer.origin_bucket.left(now),
        )

    def filed(self, each: Iterable[Filed]) -> None:
        """Count what was filed under permits, as if it had been taken here when it came."""
        each = list(each)
        self._filed_in_c.note_pushes((permitted.known.stream, first, names) for permitted, first, names, *_ in each)
        for permitted, first, names, ages_us, size, heard_at in each:
            count, ages = len(names) // NAME_BYTES, array("I", ages_us)
            permitted.link.bucket.take(len(ages), heard_at)
            self._count(permitted, first, first + count - 1, ages, size, heard_at)

    def _count(
        self, permitted: Permitted, first: int, last: int, ages_us: Sequence[int], size: int, now: float
    ) -> None:
        """Count pushes that were filed, and that they were heard."""
        known, _, connection, served = permitted
        peer, stream, count = known.peer, known.stream, last - first + 1
        self._connections.heard(connection)
        peer.origin_bucket.take(count, now)
        peer.heard_at = stream.last_active_at = now
        stream.see(first, last, own=True)
        served.counters.received += count
        received = self._telemetry.counters.received
        received.messages += len(ages_us)
        received.bytes += size
        received.kinds[Push] += len(ages_us)
        received.sessions += count
        for age_us in ages_us:
            self._telemetry.count_lag(age_us / 1e6, peer.rtt_s, inside=known.inside)

    def _forget_consumed(self, stream: Stream, first: int, last: int, served: ServedVip) -> None:
        """Take out again what was used up before its push came: rare, so that nothing else pays for it."""
        ids = [each for _, each in stream.entries.between(first, last)]
        over = [ids[at] for at in self._consumed.places(stream.terms.group, ids)]
        for session_id in over:
            self._cache.remove(stream.vip, session_id)
        served.counters.received -= len(over)
        served.counters.refuse(Verdict.CONSUMED, len(over))
