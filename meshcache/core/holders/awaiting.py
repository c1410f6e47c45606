"""What handshakes wait for: whether a session that isn't here is on its way, and which of those awaited have come.

Sends nothing and asks nobody: an id says who made it and when, and pings say how far the maker's clock is from ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from meshcache.core.holders.placement import Placement
from meshcache.core.policy.gates import Terms
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.values.session_id import Claim, life_of, node_of

_CLOCK_SLACK_S = 0.25
"""What a birth may lie in the future: half of a slow round trip, by which clocks are compared."""


class Whereabouts(StrEnum):
    """Where the session of an id is that a member made and that isn't here; the names under which it is counted."""

    ON_ITS_WAY = "on_its_way"
    OWN = "own"
    """This node made it, in this life or an earlier one: it is over, was evicted, or went with the process."""
    NO_ORIGIN = "no_origin"
    """No node that is heard here bears the name, in that life: it is gone, was renamed, or is known by hearsay only."""
    FUTURE = "future"
    NOT_PERMITTED = "not_permitted"
    """By its maker's terms or ours it may not come here."""
    NOT_A_HOLDER = "not_a_holder"
    """Its maker pushes it to some nodes only, of which this isn't one: it is fetched at once."""
    OLD = "old"
    """It had time to come: it was evicted here, got lost, or was withdrawn."""


class Awaiting:
    """The ids that handshakes wait for. `came` is told of all that is filed while anybody waits."""

    def __init__(self, local: LocalNode, vips: ServedVips, members: Members, placement: Placement) -> None:
        self._local = local
        self._vips = vips
        self._members = members
        self._placement = placement
        self._wanted: dict[bytes, int] = {}
        self._came: list[bytes] = []
        self._by_node: dict[bytes, list[Peer]] = {}
        self._generation = -1

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._wanted)

    def __len__(self) -> int:
        return len(self._wanted)

    def whereabouts(self, vip: str, claim: Claim, now: float) -> Whereabouts:
        """Return where a session is that isn't here, by what its id claims, and count it."""
        served = self._vips.get(vip)
        if served is None:
            return Whereabouts.NOT_PERMITTED
        found = self._whereabouts(served, claim, now)
        served.counters.asked["await", found.value] += 1
        return found

    def want(self, session_id: bytes) -> None:
        """Note that somebody waits for a session; `unwant` it once for each time."""
        self._wanted[session_id] = self._wanted.get(session_id, 0) + 1

    def unwant(self, session_id: bytes) -> None:
        """Note that somebody waits no longer."""
        left = self._wanted.pop(session_id) - 1
        if left:
            self._wanted[session_id] = left

    def came(self, ids: Sequence[bytes]) -> None:
        """Note what was filed."""
        self._came += [each for each in ids if each in self._wanted]

    def note(self, session_id: bytes) -> None:
        """Note that there is news of a session, whether it has come or won't."""
        if session_id in self._wanted and session_id not in self._came:
            self._came.append(session_id)

    def take(self) -> list[bytes]:
        """Return the awaited ids that have come, or won't, since the last call."""
        came, self._came = self._came, []
        return came

    def origins(self, claim: Claim) -> list[Peer]:
        """Return the peers whose name an id may mean: one, or more by chance."""
        if self._generation != self._members.generation:
            self._generation = self._members.generation
            self._by_node = {}
            for peer in self._members:
                self._by_node.setdefault(node_of(peer.name), []).append(peer)
        return self._by_node.get(claim.node, [])

    def _whereabouts(self, served: ServedVip, claim: Claim, now: float) -> Whereabouts:
        own = self._local.identity
        if claim.node == node_of(own.node):
            return Whereabouts.OWN
        lives = [
            peer
            for peer in self.origins(claim)
            if peer.state is not PeerState.LOST
            and peer.ahead_s is not None
            and life_of(peer.name, peer.record.incarnation) == claim.life
        ]
        if not lives:
            return Whereabouts.NO_ORIGIN
        willing = [peer for peer in lives if self.permits(served, peer)]
        if not willing:
            return Whereabouts.NOT_PERMITTED
        peer = willing[0]
        assert peer.ahead_s is not None, "looked at above"
        age_s = now + peer.ahead_s - claim.born_at
        if age_s < -_CLOCK_SLACK_S:
            return Whereabouts.FUTURE
        limits = self._local.limits
        on_its_way_s = limits.on_its_way_s + limits.flush_s_max + (peer.rtt_s or 0.0)
        if not self._comes(served, peer, claim):
            return Whereabouts.NOT_A_HOLDER
        return Whereabouts.ON_ITS_WAY if age_s <= on_its_way_s else Whereabouts.OLD

    def _comes(self, served: ServedVip, maker: Peer, claim: Claim) -> bool:
        """Return whether a session is pushed here: by any of its maker's VIPs that would file it where this one looks,
        since an id doesn't say which it was.
        """
        placement = self._placement
        return any(
            not terms.copies or placement.is_mine(terms, claim.id)
            for terms in maker.record.vips
            if self.files(served, terms)
        )

    def permits(self, served: ServedVip, peer: Peer) -> bool:
        """Return whether a session that a peer made would be filed where this VIP looks."""
        return any(self.files(served, terms) for terms in peer.record.vips)

    def files(self, served: ServedVip, terms: Terms) -> bool:
        """Return whether what was made under these terms would be filed where a VIP looks."""
        verdict, home = self._vips.accept(terms)
        return bool(verdict) and home in served.filed_under
