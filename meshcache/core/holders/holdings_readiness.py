"""Whether this node was told all that it is to hold of what is for some nodes only, since it came or served more VIPs.

Each node of the colo that has gone through all that it holds says so to the others: by a telling of nothing, behind all
that it told. Until every one of them did, this node isn't as ready as it could be; it doesn't wait for long.
"""

from __future__ import annotations

from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.wire.messages import Holding

_TELLINGS = 2
"""Of one state of a peer: the first may get lost."""

_STALE = 0.5
"""Of `holdings_settle_s`: who says it sooner after this node came can't have heard of that yet."""

_NEVER = float("inf")


class HoldingsReadiness:
    """Whether this node was told all that it is to hold, and what it tells peers that wonder the same.

    `begin` it anew when this node serves more. `peer_told_all` notes a peer that has gone through all, and `is_reached`
    says whether everybody has; `give_up` ends the wait when it took too long. `begin_telling` before this node goes
    through all that it holds, and `tell_all_told` behind it, to tell peers that it has done its part.
    """

    def __init__(self, local: LocalNode, vips: ServedVips, members: Members, outbox: Outbox, now: float) -> None:
        self._local = local
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._said: dict[str, tuple[tuple[int, int], int]] = {}
        self._telling: dict[str, tuple[tuple[int, int], int]] = {}
        self.begin(now)

    def begin(self, now: float) -> None:
        """Wait for it from now on."""
        self.here = False
        self._began_at = now
        self._heard: set[str] = set()

    @property
    def gives_up_at(self) -> float:
        """Return when to `give_up`."""
        return _NEVER if self.here else self._began_at + self._local.limits.share_s_max

    def begin_telling(self) -> None:
        """Note who is here: who comes, is heard again or says something new meanwhile is told a part only."""
        self._telling = {peer.name: (peer.record.age, peer.flaps) for peer in self._near()}

    def tell_all_told(self) -> None:
        """Tell peers of the colo that this was all, each in the state in which it is known; not those who got a part
        only, nor those to whom nothing may be sent.
        """
        said = {}
        for peer in filter(self._may_tell, self._near()):
            age, times = self._said.get(peer.name, (peer.record.age, 0))
            times = times if age == peer.record.age else 0
            got_all = self._telling.get(peer.name) == (peer.record.age, peer.flaps)
            if got_all and times < _TELLINGS:
                self._outbox.send(peer.address, Holding(()))
            said[peer.name] = peer.record.age, min(times + got_all, _TELLINGS)
        self._said = said

    def peer_told_all(self, peer: Peer, now: float) -> None:
        """Note that a peer told all that it has for this node."""
        if now >= self._began_at + _STALE * self._local.limits.holdings_settle_s:
            self._heard.add(peer.name)

    def is_reached(self, *, fetching: bool) -> bool:
        """Return whether it is here, for good: everybody was heard who has something for some nodes only, and nothing
        more is fetched for it.
        """
        lacks = not self.here and (fetching or any(map(self._is_lacking, self._near())))
        self.here = not lacks
        return self.here

    def give_up(self, now: float) -> None:
        """Be content with what is here when it took too long."""
        self.here = self.here or now >= self.gives_up_at

    def _may_tell(self, peer: Peer) -> bool:
        return any(self._vips.send(terms, peer.record) for terms in self._vips.terms)

    def _is_lacking(self, peer: Peer) -> bool:
        """Return whether a peer has yet to say it; one that has just come has nothing for others."""
        if peer.name in self._heard or peer.joining:
            return False
        return any(terms.copies and self._vips.accept(terms)[0] for terms in peer.record.vips)

    def _near(self) -> list[Peer]:
        own_colo = self._local.identity.colo
        return [peer for peer in self._members if peer.colo == own_colo and peer.state is PeerState.ALIVE]
