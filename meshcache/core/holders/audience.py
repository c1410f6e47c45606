"""Says who gets what this node publishes and what it relays: inside the colo everyone permitted, elsewhere one relay.

Remembers its answers until a table changes; asks the policy for each of them.
"""

from __future__ import annotations

from typing import NamedTuple

from meshcache.core.membership.links import Links
from meshcache.core.policy.gates import Terms
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.values.topology import VipNote

_MEMO_MAX = 1024
"""Audiences remembered; all are forgotten at once. Keyed by `id(terms)`; the entry keeps the terms alive so that the id
can't be reused."""


class Audience(NamedTuple):
    """Who gets one batch from this node: peers in its own colo, and one relay in each other colo."""

    inside: list[Peer]
    relays: list[Peer]
    receivers: int
    """How many get a copy of one session from this node: of `inside`, where there are to be so many copies in each
    colo, those that `placement` chooses."""
    awaited_s: float = 0.0
    """For how long every receiver lets a client's handshake wait for what is on its way: so long what is made may be
    collected, less what the way takes. 0 as soon as one doesn't say so, and with a relay: it speaks for itself only."""
    asks: bool = False
    """Whether all of them ask for it meanwhile."""


class Audiences:
    """Finds audiences by terms, and remembers them."""

    def __init__(self, local: LocalNode, vips: ServedVips, members: Members, links: Links) -> None:
        self._local = local
        self._vips = vips
        self._members = members
        self._links = links
        self._known: dict[int, tuple[Terms, Audience]] = {}
        self._known_for = (-1, -1)

    def of_own(self, source: Terms) -> Audience:
        """Return who gets what this node makes under these terms."""
        if self._known_for != (self._members.generation, self._vips.record.revision):
            self._forget()
        known = self._known.get(id(source))
        return self._find(source, relays=True) if known is None else known[1]

    def of_relayed(self, source: Terms) -> list[Peer]:
        """Return who in this colo gets what a node of another colo made under these terms, which are the origin's."""
        if self._known_for != (self._members.generation, self._vips.record.revision):
            self._forget()
        known = self._known.get(id(source))
        return (self._find(source, relays=False) if known is None else known[1]).inside

    def relays_to_tell(self, source: Terms) -> list[Peer]:
        """Return a relay in each other colo that may have what was made under these terms, pushed there or fetched."""
        return self._relays(source)

    def displaced(self, source: Terms) -> Audience:
        """Return who may have what was made under these terms too, but at whose address another may be: of this colo,
        and of the others where there is no relay to tell.
        """
        displaced = [peer for peer in self._members.usable() if peer.displaced]
        own, told = self._local.identity.colo, {peer.colo for peer in self._relays(source)} if displaced else set()
        permitted = [peer for peer in displaced if peer.colo not in told and self._vips.send(source, peer.record)]
        inside, outside = ([peer for peer in permitted if (peer.colo == own) is here] for here in (True, False))
        return Audience(inside, outside, len(permitted))

    def _find(self, source: Terms, *, relays: bool) -> Audience:
        if len(self._known) >= _MEMO_MAX:
            self._known.clear()
        found = self._inside(source), self._relays(source) if relays and source.push else []
        near = min(len(found[0]), source.copies - 1) if source.copies else len(found[0])
        awaited_s = 0.0 if found[1] else min((_awaits_s(source, peer) for peer in found[0]), default=0.0)
        asks = awaited_s > 0 and all(note.fetches for peer in found[0] for note in _notes(source, peer))
        audience = Audience(*found, near + len(found[1]), awaited_s, asks)
        self._known[id(source)] = (source, audience)
        return audience

    def _inside(self, source: Terms) -> list[Peer]:
        peers = self._members.receiving(self._local.identity.colo)
        return [peer for peer in peers if self._vips.send(source, peer.record)]

    def _relays(self, source: Terms) -> list[Peer]:
        peers = self._members.receiving()
        colos = sorted({peer.colo for peer in peers} - {self._local.identity.colo})
        relays = (self._links.relay(source, colo, peers) for colo in colos)
        return [relay for relay in relays if relay is not None]

    def _forget(self) -> None:
        self._known.clear()
        self._known_for = self._members.generation, self._vips.record.revision


def _awaits_s(source: Terms, peer: Peer) -> float:
    """Return for how long a peer lets handshakes wait for what is made under these terms, by any VIP that finds it."""
    return min((note.awaits_ms for note in _notes(source, peer)), default=0) / 1000


def _notes(source: Terms, peer: Peer) -> list[VipNote]:
    notes = zip(peer.record.vips, peer.record.notes, strict=False)  # an older node tells nothing
    return [note for terms, note in notes if terms.group == source.group]
