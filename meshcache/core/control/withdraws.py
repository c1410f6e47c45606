"""Deliberate "forget this session", mesh-wide: acted on once, passed on once, remembered until nothing is left to fit.

Made by an operator or a policy, never by an unclean close (a stranger can cause one of those).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import ceil

from meshcache.core.policy.gates import Terms
from meshcache.core.state.members import Peer
from meshcache.core.state.node_state import NodeState
from meshcache.core.values.events import SessionsWithdrawn
from meshcache.core.values.session import LIFETIME_S_MAX_TLS13, Session
from meshcache.core.values.token_bucket import Bucket
from meshcache.core.wire.messages import Withdraw

_ROUNDING_S = 3.0
"""What a lineage's birth may be off by, rounded to seconds and after a silence too short to be noticed: so long after a
withdraw, new sessions are still taken for old ones."""

_ISSUERS_MAX = 1024
"""Issuers whose rate is watched; forgotten all at once."""


@dataclass(frozen=True, slots=True)
class _Known:
    withdraw: Withdraw
    issued_at: float
    expires_at: float

    @property
    def name(self) -> tuple[str, int, int]:
        return self.withdraw.issuer, self.withdraw.incarnation, self.withdraw.number

    def fits(self, terms: Terms, session_id: bytes, born_at: float) -> bool:
        """Whether it is about this session. In doubt it is: births travel in whole seconds."""
        told = self.withdraw
        if told.ids:
            return session_id in told.ids
        return born_at <= self.issued_at + _ROUNDING_S and self.fits_all(terms)

    def fits_all(self, terms: Terms) -> bool:
        told = self.withdraw
        return told.vip in ("", terms.vip) and told.group in ("", terms.group) and told.origin in ("", terms.node)


class Withdraws:
    """All withdraws in force here."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._known: dict[tuple[str, int, int], _Known] = {}
        self._rates: dict[str, Bucket] = {}
        self._gone: dict[tuple[str, int, int], int] = {}
        self._number = 0

    @property
    def number(self) -> int:
        """Of the newest that was issued here."""
        return self._number

    def gone(self, issuer: str, incarnation: int, number: int) -> int | None:
        """How many sessions one of them has taken away here so far; None if it isn't known here."""
        return self._gone.get((issuer, incarnation, number))

    def full(self) -> bool:
        """Whether there is no room for another."""
        return len(self._known) >= self._state.limits.withdraws_max

    def __len__(self) -> int:
        return len(self._known)

    def issue(self, now: float, vip: str, group: str, origin: str, ids: tuple[bytes, ...], lasts_s: float) -> int:
        """Withdraw, here and everywhere, for as long as anything can be left of it; says how many went here."""
        own = self._state.identity
        self._number += 1
        withdraw = Withdraw(own.node, own.incarnation, self._number, 0, ceil(lasts_s), vip, group, origin, ids)
        return self._act(withdraw, now, "")

    def received(self, peer: Peer, withdraw: Withdraw, now: float) -> None:
        """A peer passed a withdraw on."""
        if (withdraw.issuer, withdraw.incarnation, withdraw.number) in self._known or not withdraw.remaining_s:
            return
        if withdraw.remaining_s > LIFETIME_S_MAX_TLS13 or not self._may(withdraw.issuer, now):
            self._state.drop("withdraw_refused")
            return
        self._act(withdraw, now, peer.name)

    def refuses(self, terms: Terms, session_id: bytes, born_at: float) -> bool:
        """Whether a session that is offered was withdrawn."""
        return any(known.fits(terms, session_id, born_at) for known in self._known.values())

    def places(self, terms: Terms, ids: Sequence[bytes], elapsed_s: Sequence[int], now: float) -> set[int]:
        """Which sessions of a batch were withdrawn, by their place."""
        relevant = [known for known in self._known.values() if known.withdraw.ids or known.fits_all(terms)]
        if not relevant:
            return set()
        rows = enumerate(zip(ids, elapsed_s, strict=True))
        return {at for at, (sid, age) in rows if any(known.fits(terms, sid, now - age) for known in relevant)}

    def digest(self) -> bytes:
        """Eight bytes that are equal when two nodes know the same withdraws."""
        names = sorted(self._known)
        return blake2b(repr(names).encode(), digest_size=8).digest() if names else b""

    def tell(self, peer: Peer, now: float) -> None:
        """Give a peer all of them."""
        for known in self._known.values():
            self._state.send(peer, _aged(known, now))

    def expire(self, now: float) -> None:
        """Forget those that nothing can be left of."""
        self._known = {name: known for name, known in self._known.items() if known.expires_at > now}
        self._gone = {name: gone for name, gone in self._gone.items() if name in self._known}

    def _act(self, withdraw: Withdraw, now: float, passed_on_by: str) -> int:
        if self.full():
            self._state.drop("withdraws_full")
            return 0
        known = _Known(withdraw, now - withdraw.elapsed_s, now + withdraw.remaining_s)
        self._known[known.name] = known
        gone = self._gone[known.name] = self._remove(known)
        self._state.events.add(SessionsWithdrawn(now, withdraw.issuer, _scope(withdraw), gone))
        others = [peer.address for peer in self._state.members if peer.usable and peer.name != passed_on_by]
        self._state.outbox.send_all(others, _aged(known, now))
        return gone

    def _remove(self, known: _Known) -> int:
        gone = 0
        for served in self._state.vips:
            name = served.vip.terms.vip
            removed = [session.id for session in self._fitting(name, known)]
            for session_id in removed:
                self._state.cache.remove(name, session_id)
            served.counters.withdrawn += len(removed)
            gone += len(removed)
        return gone

    def _fitting(self, vip: str, known: _Known) -> Iterator[Session]:
        for session in self._state.cache.sessions(vip):
            stream = self._state.streams.get(session.stream)
            if stream is not None and known.fits(stream.terms, session.id, session.born_at):
                yield session

    def _may(self, issuer: str, now: float) -> bool:
        rate = self._rates.get(issuer)
        if rate is None:
            if len(self._rates) >= _ISSUERS_MAX:
                self._rates.clear()
            limits = self._state.limits
            rate = self._rates[issuer] = Bucket(limits.withdraws_per_s, limits.withdraws_burst, now)
        return rate.take(1, now)


def _scope(withdraw: Withdraw) -> str:
    """What a withdraw names, in words for an event."""
    named = [f"{what} {name}" for what in ("vip", "group", "origin") if (name := getattr(withdraw, what))]
    ids = len(withdraw.ids)
    return ", ".join(named) or (f"{ids} session{'s' * (ids != 1)}" if ids else "all")


def _aged(known: _Known, now: float) -> Withdraw:
    elapsed, remaining = int(now - known.issued_at), max(int(known.expires_at - now), 0)
    return replace(known.withdraw, elapsed_s=elapsed, remaining_s=remaining)
