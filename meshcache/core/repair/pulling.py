"""Fetches one session for a handshake that waits, from whoever made it or else from one other holder.

What comes passes the same gates, limits and withdraws as what is pushed. Each id is asked for once at a time, each peer
that doesn't answer is left alone for a while, and all of it is bounded: by number, by rate, by time. Answers nobody:
`pull_serving` does.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from meshcache.core.holders.awaiting import Awaiting
from meshcache.core.holders.placement import Placement
from meshcache.core.repair.breakers import Breakers
from meshcache.core.replication.intake import Intake, aged
from meshcache.core.replication.relaying import Relaying
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.values.session import session_hash
from meshcache.core.values.session_id import Claim, life_of
from meshcache.core.values.token_bucket import Bucket
from meshcache.core.values.topology import best
from meshcache.core.wire.messages import Batch, Pull, PullReply

_TOKENS = 1 << 32

_ASKED_MAX = 2
"""Peers asked for one id, one after the other."""

_FUTURE_S = 60.0
"""How far in the future a birth may lie by the clocks that pings compare. They may be off by as much as a machine
slept, for some seconds; an id from further ahead is a lie of its maker's, and nobody is asked for it."""


@dataclass(frozen=True, slots=True)
class PullLimits:
    """How far a VIP fetches, and for how long: ``far`` across colos too, then for ``far_s``."""

    within_s: float
    far: bool = False
    far_s: float = 0.0


class PullStart(StrEnum):
    """How a fetch began, or why it didn't; the words under which it is counted."""

    ASKED = "asked"
    JOINED = "joined"
    """Another handshake waits for the same session."""
    AGAIN = "again"
    """It was asked for a moment ago, in vain."""
    BUSY = "busy"
    """As many fetches are under way as may be."""
    BUDGET = "budget"
    """This node asks as often as it may."""
    NO_PEER = "no_peer"
    OVER = "over"
    """By its id it is older than a session may be."""
    FUTURE = "future"
    """By its id it isn't born yet."""


class _Asked(NamedTuple):
    """Whom an id was asked for of, when, and until when somebody waits for the answer."""

    peer: str
    id: bytes
    at: float
    until: float

    def __repr__(self) -> str:
        return f"<Asked of {self.peer}>"


@dataclass(slots=True, eq=False)
class _Flight:
    vip: str
    id: bytes = field(repr=False)
    holders: list[Peer]
    until: float
    peer: str = ""
    token: int = 0
    waiters: int = 1


class Pulling:
    """Fetches of single sessions for handshakes that wait, by id, and the answers to peers who fetch so.

    `begin` one, and `end` it once for each `begin` that gave a time.
    """

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        relaying: Relaying,
        intake: Intake,
        awaiting: Awaiting,
        placement: Placement,
        now: float,
    ) -> None:
        limits = local.limits
        self._local = local
        self._telemetry = telemetry
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._relaying = relaying
        self._intake = intake
        self._awaiting = awaiting
        self._placement = placement
        self._budget = Bucket(limits.pulls_per_s, limits.pulls_burst, now)
        self._flights: dict[bytes, _Flight] = {}
        self._asked: OrderedDict[int, _Asked] = OrderedDict()
        """By token. Kept when nobody waits any more: late answers are good."""
        self._vain: OrderedDict[bytes, float] = OrderedDict()
        self._breakers = Breakers(limits, members)
        self._given: OrderedDict[bytes, str] = OrderedDict()
        """By id, which peer's answer was filed, of the newest: what OpenSSL makes of it is seen later."""

    def __len__(self) -> int:
        return len(self._flights)

    def begin(self, vip: str, claim: Claim, limits: PullLimits, now: float) -> float | None:
        """Ask for the session of an id that a member made; return until when to wait for it.

        None where nobody can be asked, or may be now; the reason is counted.
        """
        served = self._vips.get(vip)
        if served is None:
            return None
        flight = self._flights.get(claim.id)
        if flight is not None:
            flight.waiters += 1
            self._count(served, PullStart.JOINED)
            return flight.until
        why_not = self._why_not(served, claim, now)
        holders = [] if why_not else self._holders(served, claim, limits, now)
        if not holders or not self._budget.take(1, now):
            self._count(served, why_not or (PullStart.BUDGET if holders else PullStart.NO_PEER))
            return None
        near = all(peer.colo == self._local.identity.colo for peer in holders)
        flight = _Flight(vip, claim.id, holders, now + (limits.within_s if near else limits.far_s))
        self._flights[claim.id] = flight
        self._count(served, PullStart.ASKED)
        self._ask(flight, now)
        return flight.until

    def end(self, session_id: bytes, now: float) -> None:
        """One handshake less waits. With the last one the fetch is over; a peer that was too slow is noted."""
        flight = self._flights.get(session_id)
        if flight is None:
            return
        flight.waiters -= 1
        if flight.waiters == 0:
            del self._flights[session_id]
            if now >= flight.until:
                self._breakers.was_silent(flight.peer, now)

    def reply_received(self, peer: Peer, reply: PullReply, now: float) -> None:
        """Take in an answer, if this peer was asked; one that isn't what was asked for costs a full handshake."""
        self._telemetry.count_received(reply.batch)
        asked = self._asked.get(reply.token)
        if asked is None or asked.peer != peer.name:
            self._refuse(peer, Drop.UNASKED_PULL, now)
            return
        del self._asked[reply.token]
        session_id = asked.id
        batch = reply.batch and aged(reply.batch, int(min(peer.late_at(now), now - asked.at)))
        fits = batch is None or list(batch.entries.ids) == [session_id]
        self._breakers.answered(peer, now, late=now > asked.until, fits=fits)
        if not fits:
            self._refuse(peer, Drop.FOREIGN_PULL, now)
        if batch is not None and fits and self._take(peer, batch, session_id, now):
            flight = self._flights.pop(session_id, None)
            if flight is not None:
                self._awaiting.note(session_id)
        else:
            self._denied(session_id, reply.token, now)

    def _denied(self, session_id: bytes, token: int, now: float) -> None:
        flight = self._flights.get(session_id)
        if flight is None or flight.token != token:
            return
        if flight.holders and now < flight.until:
            self._ask(flight, now)
            return
        del self._flights[session_id]
        self._vain[session_id] = now + self._local.limits.pull_again_s
        if len(self._vain) > self._local.limits.pulls_vain_max:
            self._vain.popitem(last=False)
        self._awaiting.note(session_id)

    def _take(self, peer: Peer, batch: Batch, session_id: bytes, now: float) -> bool:
        own = batch.terms.node == peer.name
        objection = self._objection(peer, batch) if own else self._relaying.hearsay_objection(batch)
        if self._is_of_this_process(batch):
            objection = Drop.FORGED_ORIGIN
        if objection is not None:
            self._refuse(peer, objection, now)
            return False
        if self._intake.take(batch, now, own=own, whole=False, pulled=True) is None:
            return False
        self._given[session_id] = peer.name
        if len(self._given) > self._local.limits.pulls_remembered:
            self._given.popitem(last=False)
        return True

    def blame(self, session_id: bytes, now: float) -> None:
        """Tell of the peer that gave a session which OpenSSL can't use, if one did."""
        peer = self._members.get(self._given.pop(session_id, ""))
        if peer is not None:
            self._refuse(peer, Drop.POISONED_PULL, now)

    def _objection(self, peer: Peer, batch: Batch) -> Drop | None:
        """Return what speaks against a batch of a peer's own; one of an earlier life it may have been handed over."""
        later = batch.incarnation > peer.record.incarnation
        return Drop.FORGED_ORIGIN if later or batch.terms.colo != peer.colo else None

    def _is_of_this_process(self, batch: Batch) -> bool:
        """Return whether a batch claims what only this process can know: nobody else has a word in its streams."""
        own = self._local.identity
        former = {life for served in self._vips for life in served.former}
        return batch.terms.node == own.node and (batch.incarnation >= own.incarnation or batch.incarnation in former)

    def _why_not(self, served: ServedVip, claim: Claim, now: float) -> PullStart | None:
        """Return the reason for which nobody is asked, if there is one: what is over, or was asked for in vain."""
        vain_until = self._vain.get(claim.id)
        if vain_until is not None and now < vain_until:
            return PullStart.AGAIN
        if len(self._flights) >= self._local.limits.pulls_max:
            return PullStart.BUSY
        for peer in self._awaiting.origins(claim):
            same_life = life_of(peer.name, peer.record.incarnation) == claim.life
            age_s = now + peer.ahead_s - claim.born_at if same_life and peer.ahead_s is not None else 0.0
            if age_s > served.vip.lifetime_s:
                return PullStart.OVER
            if age_s < -_FUTURE_S:
                return PullStart.FUTURE
        return None

    def _holders(self, served: ServedVip, claim: Claim, limits: PullLimits, now: float) -> list[Peer]:
        """Return whom to ask, one after the other: who made it, and one other by rendezvous hash on the id."""
        own_colo = self._local.identity.colo
        able = [
            peer
            for peer in self._members
            if peer.state is PeerState.ALIVE
            and peer.receives
            and (limits.far or peer.colo == own_colo)
            and not self._breakers.is_open(peer, now)
            and self._awaiting.permits(served, peer)
        ]
        makers = self._awaiting.origins(claim)
        made = [peer for peer in able if peer in makers]
        others = {peer.name: peer for peer in able if peer not in makers and (peer.colo == own_colo or not made)}
        placed = self._placed(served, makers, claim, others)
        if placed and (not made or made[0].colo != own_colo):
            return [*placed, *made][:_ASKED_MAX]
        second = placed[0].name if placed else best(session_hash(claim.id), others)
        return [*made[:1], *([others[second]] if second is not None else [])]

    def _placed(self, served: ServedVip, makers: list[Peer], claim: Claim, others: dict[str, Peer]) -> list[Peer]:
        """Return those of this colo who are to hold a session, the first first, if it is for some nodes only: by its
        maker's terms, or by ours where nobody knows its maker any more: then by the same order if all hold all today.
        """
        told = [terms for maker in makers for terms in maker.record.vips if self._awaiting.files(served, terms)]
        names: tuple[str, ...] = ()
        if told:
            names = next((self._placement.holders(terms, claim.id) for terms in told if terms.copies), ())
        else:
            names = self._placement.heirs(served.vip.terms, claim.id)
        return [others[name] for name in names if name in others]

    def _ask(self, flight: _Flight, now: float) -> None:
        peer = flight.holders.pop(0)
        token = self._local.rng.randrange(_TOKENS)
        while token in self._asked:
            token = (token + 1) % _TOKENS
        flight.peer, flight.token = peer.name, token
        self._asked[token] = _Asked(peer.name, flight.id, now, flight.until)
        if len(self._asked) > self._local.limits.pulls_remembered:
            self._asked.popitem(last=False)
        self._outbox.send(peer.address, Pull(token, flight.vip, flight.id))

    def _refuse(self, peer: Peer, reason: Drop, now: float) -> None:
        self._telemetry.drop(reason)
        self._telemetry.refusals.note(peer.name, peer.address, reason, now)

    def _count(self, served: ServedVip, start: PullStart) -> None:
        served.counters.asked["fetch", start.value] += 1
