"""What other nodes have of the rings: as each said itself, and when it was last sent a key.

Believes a node about itself and about its own colo; decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meshcache.core.state.members import Members, Peer
from meshcache.core.values.limits import Limits
from meshcache.core.values.ticket_key import TicketKey
from meshcache.core.values.token_bucket import Bucket
from meshcache.core.wire.ticket_messages import KEYS_MAX, HeldKey, RingStatus

_AGAIN_S = 1.0
"""Between two times that one node is sent one key: its status may have crossed the first."""

_TOLD_MAX = 1024
"""Keys sent to one node and remembered; forgotten all at once."""


@dataclass(slots=True)
class PeerKeys:
    """The ticket keys that one peer, in one life of it, is known to have."""

    incarnation: int
    rings: dict[bytes, RingStatus] = field(default_factory=dict)
    told: dict[bytes, float] = field(default_factory=dict)
    rate: Bucket | None = None

    def has(self, ring: bytes, name: bytes) -> bool:
        """Return whether the peer is known to have this key of this ring."""
        status = self.rings.get(ring)
        return status is not None and any(held.name == name for held in status.held)

    def lacks(self, key: TicketKey) -> bool:
        """Return whether the peer isn't known to have a key and would keep it: of more than there is room for, the
        lowest go.
        """
        status = self.rings.get(key.ring)
        held = () if status is None else status.held
        room = len(held) < KEYS_MAX or key.rank > min(each.rank for each in held)
        return room and not self.has(key.ring, key.name)

    def newest(self, ring: bytes) -> HeldKey:
        """Return the highest key that it has; number 0 when it has none."""
        status = self.rings.get(ring)
        held = () if status is None else status.held
        return max(held, key=lambda each: each.rank, default=HeldKey(0, b""))

    def spread(self, ring: bytes) -> bytes:
        """Return the name of the key that it says all of its colo have."""
        status = self.rings.get(ring)
        return status.spread if status is not None else b""

    def may_bring(self, count: int, limits: Limits, now: float) -> bool:
        """Return whether it may bring so many keys now. Each node has a rate of its own: with one for all, a member of
        one ring could keep the keys of others out, in whose border it isn't.
        """
        if self.rate is None:
            self.rate = Bucket(limits.ticket_keys_per_s, limits.ticket_keys_burst, now)
        return self.rate.take(count, now)

    def may_tell(self, name: bytes, now: float) -> bool:
        """Return whether to send it a key now, and note that it is sent."""
        if now - self.told.get(name, float("-inf")) < _AGAIN_S:
            return False
        if len(self.told) >= _TOLD_MAX:
            self.told.clear()
        self.told[name] = now
        return True


class PeersKeys:
    """The ticket keys that linked peers have, by their names."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._known: dict[str, PeerKeys] = {}

    def of(self, peer: Peer) -> PeerKeys:
        """Return what a peer said in its present life."""
        known = self._known.get(peer.name)
        if known is None or known.incarnation != peer.record.incarnation:
            rate = None if known is None else known.rate  # a new life brings no new rate
            known = self._known[peer.name] = PeerKeys(peer.record.incarnation, rate=rate)
        return known

    def forget_gone(self) -> None:
        """Forget the nodes that aren't linked any more."""
        for name in [name for name in self._known if self._members.get(name) is None]:
            del self._known[name]
