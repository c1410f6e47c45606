"""Says which peers aren't asked for sessions now, since they didn't answer, or not well: asking them costs handshakes.

Asks nobody itself; `pulling` tells how each question ended.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshcache.core.state.members import Members, Peer
from meshcache.core.values.limits import Limits


@dataclass(slots=True)
class _Breaker:
    """One peer's circuit breaker: how many questions in a row had no answer, or a late one, and when it isn't asked."""

    silent: int = 0
    late: int = 0
    open_since: float = 0.0
    open_until: float = 0.0

    def is_open(self, peer: Peer, now: float) -> bool:
        """Return whether its peer isn't asked now. One of which nothing was heard since is asked by pings only: to try
        it again would cost a handshake.
        """
        return now < self.open_until or (self.open_until > 0 and peer.heard_at <= self.open_since)


_NEVER_SILENT = _Breaker()


class Breakers:
    """The peers that didn't answer lately, or not well, and until when each isn't asked."""

    def __init__(self, limits: Limits, members: Members) -> None:
        self._limits = limits
        self._members = members
        self._breakers: dict[str, _Breaker] = {}

    def __len__(self) -> int:
        return len(self._breakers)

    def is_open(self, peer: Peer, now: float) -> bool:
        """Return whether a peer isn't asked now."""
        return self._breakers.get(peer.name, _NEVER_SILENT).is_open(peer, now)

    def answered(self, peer: Peer, now: float, *, late: bool, fits: bool) -> None:
        """Note that a peer answered: well, so that it is asked again; too late; or something else than it was asked.

        Late answers are good for the next visit, and each costs a handshake its whole time: a peer may be late more
        often in a row than it may be silent, but not for ever.
        """
        if not fits:
            self.was_silent(peer.name, now)
        elif not late:
            self._breakers.pop(peer.name, None)
        else:
            breaker = self._of(peer.name)
            breaker.late += 1
            breaker.silent, breaker.open_until = 0, 0.0
            self._rest(breaker, breaker.late - self._limits.pull_lates, now)

    def was_silent(self, name: str, now: float) -> None:
        """Note that a peer hadn't answered when nobody waited any more."""
        breaker = self._of(name)
        breaker.silent += 1
        self._rest(breaker, breaker.silent - self._limits.pull_silences, now)

    def _of(self, name: str) -> _Breaker:
        if len(self._breakers) > self._limits.peers_max:
            self._breakers = {peer: of for peer, of in self._breakers.items() if self._members.get(peer) is not None}
        return self._breakers.setdefault(name, _Breaker())

    def _rest(self, breaker: _Breaker, beyond: int, now: float) -> None:
        """Leave a peer alone, longer each time, once it has had all the tries that it may have."""
        limits = self._limits
        if beyond >= 0:
            breaker.open_since = now
            breaker.open_until = now + min(limits.pull_rest_s * 2 ** min(beyond, 10), limits.pull_rest_s_max)
