"""The short way out of what handshakes made: filed and written as a push by one call, with no object for each session.

Asks what the long way asks (`local_sessions`, `publisher`), and leaves to it whatever isn't plain: relays, chosen
holders, peers that take nothing, what may have been withdrawn or isn't due. Without the compiled door there is no short
way.
"""

from __future__ import annotations

from typing import NamedTuple

from meshcache.core.cache.filed_in_c import FiledInC, PushMade
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.replication.publisher import Publisher
from meshcache.core.state.served_vips import ServedVips

_NEVER = float("-inf")


class ReadyPush(NamedTuple):
    """A push that is to leave at once: its bytes, which are secret, how many sessions it has, where it goes, and until
    when what follows is collected."""

    payload: bytes
    sessions: int
    addresses: list[str]
    until: float

    def __repr__(self) -> str:
        return f"<ReadyPush of {self.sessions} sessions to {len(self.addresses)}>"


class PublisherFastPath:
    """Files what waits at a VIP's door and writes it as one push, where all of it is plain.

    `take` is asked before `LocalSessions.made`, by whoever can send at once.
    """

    def __init__(self, filed_in_c: FiledInC, vips: ServedVips, publisher: Publisher, withdraws: Withdraws) -> None:
        self._filed_in_c = filed_in_c
        self._vips = vips
        self._publisher = publisher
        self._withdraws = withdraws

    def take(self, vip: str, push: PushMade, waiting: int, now: float, ahead_s: float) -> ReadyPush | None:
        """File and write what waits at a door, the oldest first, up to a batch. None, with nothing done, when it has to
        go the long way. What it returns is to be sent before anything else of this VIP.
        """
        served = self._vips.get(vip)
        if served is None:
            return None
        born_after = self._withdraws.new_after(served.vip.terms, now) if self._withdraws else _NEVER
        if born_after >= now:
            return None
        straight = self._publisher.straight(served, waiting, now)
        if straight is None:
            return None
        template, addresses, collect_until = straight
        first, until = served.last_seq + 1, now + served.vip.lifetime_s
        pushed = self._filed_in_c.push_made(
            served.stream, push, template.envelope, template.stream, first, now, ahead_s, until, born_after
        )
        if pushed is None:
            return None
        payload, count = pushed
        served.counters.made += count
        served.last_seq += count
        self._publisher.went_straight(served, payload, count, len(addresses), now)
        return ReadyPush(payload, count, addresses, collect_until)
