"""Withdraws: "forget this session", mesh-wide: acted on once, passed on once, remembered while what they name can live.

Made by an operator or a policy, never by an unclean close (a stranger can cause one of those).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TypeAlias

from meshcache.core.cache.cache import SessionCache
from meshcache.core.policy.gates import Terms
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.outlet import Outlet
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import SessionsWithdrawn
from meshcache.core.values.session import LIFETIME_S_MAX_TLS13, LINEAGE_S_MAX, Session
from meshcache.core.values.token_bucket import Bucket
from meshcache.core.wire.messages import Withdraw

REMEMBERED_S = LINEAGE_S_MAX + 3600
"""The longest life that anybody's policy can give to a lineage, and what clocks may be off by in that time. What the
issuer's policy says today doesn't count: a node that was cut off goes by its own, and by that of another day."""

_ROUNDING_S = 2.0
"""What another node's birth may be off by: half a second for rounding, and the silence that nobody notices. So long
after a withdraw, other nodes' new sessions are still taken for old ones."""

_DRIFT = 2e-4
"""By how much two clocks run apart, at a hundred millionths each: after ten days it is three minutes."""

_TIE_S = 5.0
"""Withdraws of one scope that were issued so close together can't be put in order: ages are rounded at each step."""

_LOOKED_THROUGH_MAX = 16
"""Withdraws that are looked through for each push of a known stream: with more of them the long way is as quick."""

_ASKED_AGAIN_S = 10.0
"""Between two times that a node wants to hear all withdraws again."""

_HEARD_MAX = 1024
"""Newest withdraws that were acted on, so that each is acted on and passed on once."""

_ISSUERS_MAX = 1024
"""Issuers whose rate is watched; forgotten all at once."""

_NUMBERS = 1 << 32

_Name: TypeAlias = tuple[str, int, int]
_Scope: TypeAlias = tuple[str, str, str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class _Known:
    withdraw: Withdraw
    issued_at: float
    told_at: float
    """The earliest time of issue that was heard so far, for ticket keys: a message may come late, and never early."""

    @property
    def name(self) -> _Name:
        return self.withdraw.issuer, self.withdraw.incarnation, self.withdraw.number

    @property
    def scope(self) -> _Scope:
        told = self.withdraw
        return told.vip, told.group, told.origin, told.ids

    def fits(self, terms: Terms, session_id: bytes, born_at: float, now: float) -> bool:
        """Return whether it is about this session. In doubt it is:
        births travel in whole seconds, and clocks run apart.
        """
        if self.withdraw.ids:
            return session_id in self.withdraw.ids
        return born_at <= self.over_at(now) and self.fits_all(terms)

    def over_at(self, now: float) -> float:
        """Return the latest birth of sessions that this withdraw ends; in doubt a later one."""
        return self.issued_at + _ROUNDING_S + _DRIFT * (now - self.issued_at)

    def fits_all(self, terms: Terms) -> bool:
        told = self.withdraw
        return told.vip in ("", terms.vip) and told.group in ("", terms.group) and told.origin in ("", terms.node)

    def covers(self, other: _Known) -> bool:
        """Return whether there is nothing that the other fits and this one doesn't."""
        if self.withdraw.ids or self.issued_at <= other.issued_at + _TIE_S:
            return False
        pairs = list(zip(self.scope[:3], other.scope[:3], strict=True))
        return all(mine == "" if other.withdraw.ids else mine in ("", its) for mine, its in pairs)


class Withdraws:
    """All withdraws in force here: of each scope the newest, so that an operator who repeats one fills no table."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        cache: SessionCache,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        outlet: Outlet,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._cache = cache
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._outlet = outlet
        self._known: dict[_Scope, _Known] = {}
        self._heard: OrderedDict[tuple[_Name, _Scope], None] = OrderedDict()
        self._gone: OrderedDict[_Name, int] = OrderedDict()
        self._rates: dict[str, Bucket] = {}
        self._number = 0
        self._asks = False
        self._asked_at = float("-inf")
        self._truer: OrderedDict[float, float] = OrderedDict()
        self.acts = 0
        """How many were acted on or inherited, so that others can see that there is a new one, or that all are to be
        heard again."""

    @property
    def number(self) -> int:
        """Return the number of the newest withdraw that was issued here."""
        return self._number

    def gone(self, issuer: str, incarnation: int, number: int) -> int | None:
        """Return how many sessions a withdraw has taken away here so far; None if it isn't known here."""
        return self._gone.get((issuer, incarnation, number))

    def __len__(self) -> int:
        return len(self._known)

    def issue(self, now: float, vip: str = "", group: str = "", origin: str = "", ids: tuple[bytes, ...] = ()) -> int:
        """Withdraw, here and everywhere, for as long as anything can be left of it. Return how many went here."""
        own = self._local.identity
        self._number = self._local.rng.randrange(_NUMBERS)  # nobody can have taken it before in this node's name
        withdraw = Withdraw(own.node, own.incarnation, self._number, 0, LIFETIME_S_MAX_TLS13, vip, group, origin, ids)
        return self._act(withdraw, now, "")

    def issue_one(self, vip: str, session_id: bytes, now: float) -> bool:
        """Withdraw one session of a VIP if it is here, or if only some nodes hold what is made for the VIP. Return
        whether that was so.
        """
        served, session = self._vips.get(vip), self._cache.peek(vip, session_id)
        here = session is not None and session.expires_at > now
        if not here and (served is None or not served.vip.terms.copies):
            return False
        self.issue(now, ids=(session_id,))
        return True

    def received(self, peer: Peer, withdraw: Withdraw, now: float) -> None:
        """Act on a withdraw that a peer passed on, once, and pass it on. How long others remember it is up to them."""
        known = _noted(withdraw, now)
        if (known.name, known.scope) in self._heard:
            self._heard_again(known)
            return
        if withdraw.elapsed_s >= REMEMBERED_S:
            return
        if not self._may(withdraw.issuer, now):
            self._telemetry.drop(Drop.WITHDRAW_REFUSED)
            return
        self._act(withdraw, now, peer.name)

    def refuses_new(self, terms: Terms, session_id: bytes, born_at: float, now: float) -> bool:
        """Return whether a session that is made here now was withdrawn.
        A new lineage began after all that is known here.
        """
        return born_at < now and any(known.fits(terms, session_id, born_at, now) for known in self._known.values())

    def new_after(self, terms: Terms, now: float) -> float:
        """Return after which birth sessions made under these terms can't have been withdrawn: `refuses_new` needn't be
        asked of those. In doubt never."""
        if len(self._known) > _LOOKED_THROUGH_MAX or any(known.withdraw.ids for known in self._known.values()):
            return math.inf
        return max((known.over_at(now) for known in self._known.values() if known.fits_all(terms)), default=-math.inf)

    def places(self, terms: Terms, ids: Sequence[bytes], elapsed_s: Sequence[int], now: float) -> set[int]:
        """Return the indices of those sessions of a batch that were withdrawn."""
        relevant = [known for known in self._known.values() if known.withdraw.ids or known.fits_all(terms)]
        if not relevant:
            return set()
        rows = enumerate(zip(ids, elapsed_s, strict=True))
        return {at for at, (sid, age) in rows if any(known.fits(terms, sid, now - age, now) for known in relevant)}

    def may_concern(self, terms: Terms, payload: bytes) -> bool:
        """Return whether any session in a message, made under these terms, may have been withdrawn. In doubt it may:
        `places` says which. Single sessions are looked for by the bytes of their ids, which a batch has as they are.
        """
        if len(self._known) > _LOOKED_THROUGH_MAX:
            return True
        told = [known for known in self._known.values() if known.withdraw.ids or known.fits_all(terms)]
        return any(not known.withdraw.ids or any(each in payload for each in known.withdraw.ids) for known in told)

    def may_concern_any(self, terms: Terms) -> bool:
        """Return whether any session made under these terms may have been withdrawn, whatever message it comes in."""
        if len(self._known) > _LOOKED_THROUGH_MAX:
            return True
        return any(known.withdraw.ids or known.fits_all(terms) for known in self._known.values())

    def tickets_ended_at(self, group: str, vips: frozenset[str], until_now: float) -> float:
        """Return up to when ticket keys of a group with these VIPs are to be made to count as withdrawn; -inf: never.

        `until_now` is what held so far. It goes on to hold, though its withdraw may be gone or its VIP in another
        group, unless the withdraw that it comes from turned out to be older. Single sessions, and those of one origin,
        can't be told apart by keys: such withdraws leave them alone.
        """
        ended = (
            known.told_at + _ROUNDING_S
            for known in self._known.values()
            if not (known.withdraw.ids or known.withdraw.origin)
            and known.withdraw.group in ("", group)
            and (known.withdraw.vip == "" or known.withdraw.vip in vips)
        )
        while until_now in self._truer:
            until_now = self._truer[until_now]
        return max(until_now, max(ended, default=float("-inf")))

    def doubt(self, now: float) -> None:
        """Hear of all of them again, soon: what they ended is in use elsewhere, so one may have come late and seem
        newer than it is. Of what is heard again the older time holds for ticket keys. For sessions the first one does:
        a member that lied could bring some back, where for a key it would only have to lie about the key's own age.
        """
        if self._known and now - self._asked_at >= _ASKED_AGAIN_S:
            self._asks, self._asked_at = True, now
            self.acts += 1

    def digest(self) -> bytes:
        """Return eight bytes that are equal when two nodes know the same withdraws, and neither wants to hear them."""
        names = sorted((scope, known.name) for scope, known in self._known.items())
        asks = self._local.identity.node.encode() * self._asks  # a name: two that both want to hear them differ as well
        return blake2b(repr(names).encode() + asks, digest_size=8).digest() if names else b""

    def tell(self, peer: Peer, now: float) -> None:
        """Send a peer all withdraws in force."""
        for withdraw in self.in_force(now):
            self._outbox.send(peer.address, withdraw)

    def in_force(self, now: float) -> list[Withdraw]:
        """Return all withdraws in force, as they are told now."""
        return [_aged(known, now) for known in self._known.values()]

    def inherit(self, withdraw: Withdraw, now: float) -> None:
        """Remember what this node knew in its last life, and hold to it what is here by now: some of that was given
        before its last life acted on it. It was passed on then.
        """
        known = _noted(withdraw, now)
        self.acts += 1  # whether a tier has it by now isn't known
        self._heard[known.name, known.scope] = None
        self._count(known.name, self._remove(known, now))
        self._keep(known, now)

    def expire(self, now: float) -> None:
        """Forget withdraws of which nothing that they name can be left."""
        self._known = {scope: known for scope, known in self._known.items() if now - known.issued_at < REMEMBERED_S}

    def _act(self, withdraw: Withdraw, now: float, passed_on_by: str) -> int:
        known = _noted(withdraw, now)
        self.acts += 1
        self._heard[known.name, known.scope] = None
        if len(self._heard) > _HEARD_MAX:
            self._heard.popitem(last=False)
        gone = self._remove(known, now)
        self._count(known.name, gone)
        self._telemetry.events.add(SessionsWithdrawn(now, withdraw.issuer, _scope(withdraw), gone))
        others = [peer.address for peer in self._members if peer.usable and peer.name != passed_on_by]
        self._outbox.send_all(others, _aged(known, now))
        self._keep(known, now)
        self._outlet.sessions_withdrawn(
            withdraw.ids, lambda terms, session: known.fits(terms, session.id, session.born_at, now), now
        )
        return gone

    def _heard_again(self, known: _Known) -> None:
        self._asks = False
        same = self._known.get(known.scope)
        if same is not None and same.name == known.name and known.told_at < same.told_at:
            self._known[known.scope] = replace(same, told_at=known.told_at)
            self._truer[same.told_at + _ROUNDING_S] = known.told_at + _ROUNDING_S
            if len(self._truer) > _HEARD_MAX:
                self._truer.popitem(last=False)

    def _count(self, name: _Name, gone: int) -> None:
        self._gone[name] = self._gone.get(name, 0) + gone
        if len(self._gone) > _HEARD_MAX:
            self._gone.popitem(last=False)

    def _keep(self, known: _Known, now: float) -> None:
        """Remember it in place of all that it covers, unless it is covered itself."""
        same = self._known.get(known.scope)
        if same is not None and abs(same.issued_at - known.issued_at) <= _TIE_S:
            first, second = sorted((same, known), key=lambda each: each.name)
            issued_at, told_at = max(first.issued_at, second.issued_at), max(first.told_at, second.told_at)
            known = replace(second, issued_at=issued_at, told_at=told_at)
        elif any(other.covers(known) for other in self._known.values()):
            return
        self._known = {scope: other for scope, other in self._known.items() if not known.covers(other)}
        if len(self._known) >= self._local.limits.withdraws_max and known.scope not in self._known:
            self._withdraw_all(now)
        else:
            self._known[known.scope] = known

    def _withdraw_all(self, now: float) -> None:
        """There is no room for another. One that fits everything costs full handshakes; one that is forgotten brings
        back what was withdrawn.
        """
        self._telemetry.drop(Drop.WITHDRAWS_FULL)
        self._known.clear()
        self.issue(now)

    def _remove(self, known: _Known, now: float) -> int:
        gone = 0
        for served in self._vips:
            name = served.vip.terms.vip
            removed = [session.id for session in self._fitting(name, known, now)]
            for session_id in removed:
                self._cache.remove(name, session_id)
            served.counters.withdrawn += len(removed)
            gone += len(removed)
        return gone

    def _fitting(self, vip: str, known: _Known, now: float) -> Iterator[Session]:
        if known.withdraw.ids:  # of a large cache, a look at each takes a tenth of a second
            yield from filter(None, (self._cache.peek(vip, each) for each in dict.fromkeys(known.withdraw.ids)))
            return
        for session in self._cache.sessions(vip):
            stream = self._cache.streams.get(session.stream)
            if stream is not None and known.fits(stream.terms, session.id, session.born_at, now):
                yield session

    def _may(self, issuer: str, now: float) -> bool:
        rate = self._rates.get(issuer)
        if rate is None:
            if len(self._rates) >= _ISSUERS_MAX:
                self._rates.clear()
            limits = self._local.limits
            rate = self._rates[issuer] = Bucket(limits.withdraws_per_s, limits.withdraws_burst, now)
        return rate.take(1, now)


def _noted(withdraw: Withdraw, now: float) -> _Known:
    issued_at = now - withdraw.elapsed_s
    return _Known(withdraw, issued_at, issued_at)


def _scope(withdraw: Withdraw) -> str:
    """Return what a withdraw names, in words for an event."""
    named = [f"{what} {name}" for what in ("vip", "group", "origin") if (name := getattr(withdraw, what))]
    ids = len(withdraw.ids)
    return ", ".join(named) or (f"{ids} session{'s' * (ids != 1)}" if ids else "all")


def _aged(known: _Known, now: float) -> Withdraw:
    """Return it as it is told now. Nodes of version 0.1 refuse what lasts longer than a session of one
    handshake can live.
    """
    elapsed_s = int(now - known.issued_at)
    remaining_s = min(max(int(REMEMBERED_S - elapsed_s), 0), LIFETIME_S_MAX_TLS13)
    return replace(known.withdraw, elapsed_s=elapsed_s, remaining_s=remaining_s)
