"""What duties tell each other without knowing each other: one typed outlet, which `assembly` implements.

A duty calls it when something happened that others may act on, and asks it the one question that is not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from meshcache.core.cache.streams import Stream
from meshcache.core.policy.gates import Terms
from meshcache.core.state.members import Peer
from meshcache.core.values.session import Session
from meshcache.core.values.topology import NodeRecord

Fits: TypeAlias = Callable[[Terms, Session], bool]
"""Whether a session, made under these terms, is one of those that something is about."""


class Outlet(Protocol):
    """Events between duties, each with the monotonic `now` of the step it happened in."""

    def wants_link(self, peer: Peer) -> bool:
        """Return whether this node wants a link to a peer; `membership.links` decides."""

    def gets_all(self, terms: Terms, peer: Peer) -> bool:
        """Return whether a peer that may have what is made here under these terms is given all of it."""

    def peer_joined(self, peer: Peer, now: float) -> None:
        """A node has become a peer, or has come back in a new life."""

    def vip_added(self, now: float) -> None:
        """This node serves one more VIP, of which it has nothing yet."""

    def record_heard(self, record: NodeRecord, now: float) -> None:
        """A peer says something new of itself: its terms, its VIPs, its address."""

    def terms_replaced(self) -> None:
        """A peer's terms are about to be replaced: what waits to be sent was judged by the old ones."""

    def peer_doubted(self, now: float) -> None:
        """A peer has fallen silent: what it told only some of us should be with all of us soon."""

    def gap_seen(self, peer: Peer, stream: Stream, now: float) -> None:
        """Something before the newest number of a stream is missing, as what a peer pushed shows."""

    def hearsay_heard(self, now: float) -> None:
        """News came from another than its author, so some peers may not have it yet."""

    def sessions_withdrawn(self, ids: Sequence[bytes], fits: Fits, now: float) -> None:
        """What these ids name, or what fits, is to be forgotten: it is gone from memory, and may be elsewhere."""

    def name_contested(self, holder: Peer, now: float) -> None:
        """Another claims a peer's name, or its address: whether the peer is heard, or answers, decides."""

    def name_outbid(self, incarnation: int, why: str, now: float) -> None:
        """Others know a life of this node's name up to this number that it never was, or was earlier."""

    def own_name_heard(self, record: NodeRecord, now: float) -> None:
        """Somebody tells what this node is said to be."""
