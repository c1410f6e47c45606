"""The TLS side of the core: files what handshakes make, finds what clients bring back, and counts how it went.

Runs on handshake threads, for a few microseconds: it queues what is to be pushed, and sends and decodes nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from meshcache.core.cache.cache import PutResult, SessionCache
from meshcache.core.cache.filed_in_c import FiledInC
from meshcache.core.cache.quarantine import Quarantine
from meshcache.core.cache.vip_cache import VipEntries
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.policy.gates import Verdict
from meshcache.core.replication.publisher import Publisher
from meshcache.core.replication.tiering import Tiering
from meshcache.core.state.resumption import resume_verdict
from meshcache.core.state.served_vips import ServedVip
from meshcache.core.values.session import Outcome, Session
from meshcache.core.wire.push_template import NewSession, new_session


class MadeAtDoor(NamedTuple):
    """What a handshake made and added to the compiled cache; ``id`` and ``der`` are secrets. Times are the core's."""

    id: bytes
    der: bytes
    made_at: float
    expires_at: float
    born_at: float

    def __repr__(self) -> str:
        return "<MadeAtDoor>"


made_at_door: Callable[[tuple[bytes, bytes, float, float, float]], MadeAtDoor] = partial(tuple.__new__, MadeAtDoor)
"""What ``MadeAtDoor(...)`` does, without its call of Python's."""

HandshakeResult = Literal["full", "local", "remote", "pulled", "failed"]


class Filing(NamedTuple):
    """Where one VIP's sessions are: the parts of the cache to look in, its own first; its own stream's number; the
    moment that times in entries count from; how old a lineage may be.
    """

    vip_caches: tuple[VipEntries, ...]
    stream: int
    epoch: float
    lineage_s: float


class Lookup(NamedTuple):
    """What a lookup found. Without a session, ``verdict`` says why: ALLOWED for a plain miss, else the refusal."""

    session: Session | None
    outcome: Outcome | None
    verdict: Verdict


_ALLOWED, _LOCAL, _REMOTE = Verdict.ALLOWED, Outcome.LOCAL, Outcome.REMOTE  # looking them up takes as long as a call
_PULLED = Outcome.PULLED

_hit: Callable[[tuple[Session, Outcome, Verdict]], Lookup] = partial(tuple.__new__, Lookup)
"""What ``Lookup(...)`` does, without its call of Python's, as in `cache`."""

_MISS = Lookup(None, None, Verdict.ALLOWED)

_EXPIRED = Lookup(None, None, Verdict.LIFETIME)


class LocalSessions:
    """Files what this node made, and finds what may resume here, for the TLS edge."""

    def __init__(
        self,
        cache: SessionCache,
        filed_in_c: FiledInC,
        publisher: Publisher,
        quarantine: Quarantine,
        withdraws: Withdraws,
        tiering: Tiering,
    ) -> None:
        self._cache = cache
        self._filed_in_c = filed_in_c
        self._tiering = tiering
        self._publisher = publisher
        self._quarantine = quarantine
        self._withdraws = withdraws
        self._get = cache.get

    def created(
        self,
        served: ServedVip,
        session_id: bytes,
        der: bytes,
        born_at: float,
        lifetime_s: float,
        certified: bool,
        now: float,
    ) -> None:
        """File a session that this node made, and publish it unless it has to stay."""
        vip = served.vip
        if len(self._withdraws) and self._withdraws.refuses_new(vip.terms, session_id, born_at, now):
            served.counters.refuse(Verdict.WITHDRAWN)
            return
        stays = certified and not vip.export_client_certificates
        seq = 0 if stays else served.last_seq + 1
        expires_at = now + min(lifetime_s, vip.lifetime_s)
        end = self._cache.put(served.stream, seq, session_id, der, expires_at, born_at, certified)
        if end is not PutResult.STORED:
            served.counters.refuse(end)
            return
        served.counters.made += 1
        if seq:
            served.last_seq = seq
            self._publisher.add(served, NewSession(seq, session_id, der, expires_at, born_at, certified, now), now)

    def made(self, served: ServedVip, made: list[MadeAtDoor], now: float) -> int:
        """File and publish what handshakes added to the compiled cache themselves. Return how many of them, the first
        ones, could be: the others are for `created`.
        """
        if self._withdraws:
            born_after = self._withdraws.new_after(served.vip.terms, now)
            if any(each.born_at <= born_after for each in made):
                return 0
        first, until = served.last_seq + 1, now + served.vip.lifetime_s
        if any(each.expires_at > until + 1 for each in made):  # made under a longer lifetime, which was cut since
            return 0
        kept = self._filed_in_c.keep_made(served.stream, [each.id for each in made], first)
        if not kept:
            return 0
        served.counters.made += kept
        served.last_seq += kept
        rows = zip(range(first, first + kept), made[:kept], strict=True)
        sessions = [
            new_session((seq, session_id, der, min(expires_at, until), born_at, False, min(made_at, now)))
            for seq, (session_id, der, made_at, expires_at, born_at) in rows
        ]
        self._publisher.add_many(served, sessions, now)
        return kept

    def lookup(self, served: ServedVip, session_id: bytes, now: float, *, counts: bool) -> Lookup:
        """Find a session that may resume on this VIP now."""
        found = self._lookup(served, session_id, now)
        if counts and (found.session is not None or found.verdict is _ALLOWED):
            self.ended(served, found.outcome)
        elif counts:
            self.refused(served, found.verdict)
        return found

    def ended(self, served: ServedVip, outcome: Outcome | None) -> None:
        """Count a lookup that found a session, or none."""
        counters = served.counters
        counters.local += outcome is _LOCAL
        counters.remote += outcome is _REMOTE
        counters.pulled += outcome is _PULLED
        counters.miss += outcome is None

    def refused(self, served: ServedVip, reason: Verdict) -> None:
        """Count a lookup that ended in a refusal; an entry that is over is one by another name."""
        if reason is Verdict.LIFETIME:
            served.counters.expired += 1
        else:
            served.counters.lookups_refused[reason.value] += 1

    def _lookup(self, served: ServedVip, session_id: bytes, now: float) -> Lookup:
        for filed_vip in served.filed_under:
            found = self._get(filed_vip, session_id)
            if found is not None:
                break
        else:
            return _MISS
        session, stream = found
        made_here = stream is served.stream or served.made(session)
        verdict = resume_verdict(served.may_resume(stream.terms), served.vip, session, now, made_here)
        if verdict is _ALLOWED:
            return _hit((session, _LOCAL if made_here else _REMOTE, _ALLOWED))
        if verdict is Verdict.LIFETIME:
            self._cache.remove(filed_vip, session_id)
            return _EXPIRED
        return Lookup(None, None, verdict)

    def holds(self, served: ServedVip, session_id: bytes) -> bool:
        """Return whether a lookup would find an entry, expired or not. Counts and changes nothing."""
        return any(self._cache.holds(filed_vip, session_id) for filed_vip in served.filed_under)

    def unusable(self, served: ServedVip, session_id: bytes, reason: Verdict, now: float, *, counted: bool) -> None:
        """Take an entry away that OpenSSL must not see, and take no copy of it for a while."""
        counters = served.counters
        copies = (self._cache.peek(vip, session_id) for vip in served.filed_under)
        found = next(filter(None, copies), None)
        if counted and found is not None:  # the lookup counted a hit, and it was none
            counters.local -= served.made(found)
            counters.remote -= not served.made(found)
        counters.lookups_refused[reason.value] += 1
        self._quarantine.add(session_id, now)
        self.removed(served, session_id)

    def removed(self, served: ServedVip, session_id: bytes) -> None:
        """Forget a session here and only here, also in the tiers."""
        self._tiering.forget(served, session_id)
        for filed_vip in served.filed_under:
            if self._cache.remove(filed_vip, session_id):
                return
