"""Keeps as many copies as an origin wants: has other holders told what this node has that they are to hold too
(`copy_telling`), and fetches what they tell and isn't here (`copy_fetching`).

Decides when: where nobody's sessions are for some nodes only, neither does anything.
"""

from __future__ import annotations

from meshcache.core.cache.streams import StreamTable
from meshcache.core.holders.holdings_readiness import HoldingsReadiness
from meshcache.core.repair.copy_fetching import CopyFetching
from meshcache.core.repair.copy_telling import CopyTelling
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.wire.messages import Holding

_NEVER = float("inf")


class Holdings:
    """Has `copy_telling` and `copy_fetching` begin anew when nodes or terms changed; says when the share is here."""

    def __init__(
        self,
        local: LocalNode,
        streams: StreamTable,
        vips: ServedVips,
        members: Members,
        readiness: HoldingsReadiness,
        telling: CopyTelling,
        fetching: CopyFetching,
    ) -> None:
        self._local = local
        self._streams = streams
        self._vips = vips
        self._members = members
        self._readiness = readiness
        self._telling = telling
        self._fetching = fetching
        self._served: set[str] = set()
        self._seen_for = self._stamp()
        self._active = False

    @property
    def settled(self) -> bool:
        """Whether nothing is to be fetched that others have told of."""
        return self._fetching.settled

    @property
    def is_ready(self) -> bool:
        """Whether this node holds what it is to hold of all that others made before it came, or waited long enough."""
        return not self._any() or self._readiness.is_reached(fetching=not self._fetching.settled)

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        if self._stamp() != self._seen_for:
            return 0.0
        if not self._active:
            return _NEVER
        return min(self._readiness.gives_up_at, self._telling.next_due(), self._fetching.next_due())

    def tick(self, now: float) -> None:
        """Tell a little of what is held, and fetch what is wanted."""
        if self._stamp() != self._seen_for:
            self._begin_anew(now)
        self._readiness.give_up(now)
        if self._active:
            self._telling.tick(now)
            self._fetching.tick(now)

    def received(self, peer: Peer, told: Holding, now: float) -> None:
        """Have fetched what a peer has that is to be here and isn't; nothing told says that this was all."""
        if not told.held:
            self._readiness.peer_told_all(peer, now)
        elif not self._active:  # of a maker that is gone: no node that is here says that it's for some only
            self._begin(now)
        if self._active:
            self._fetching.told(peer, told.held, now)

    def _begin_anew(self, now: float) -> None:
        self._seen_for = self._stamp()
        self._fetching.try_again()
        self._look_for_more_vips(now)
        if self._concerned():
            self._begin(now)
        else:
            self._active = False
            self._telling.stop()

    def _begin(self, now: float) -> None:
        self._active = True
        self._readiness.give_up(now)
        self._telling.begin_soon(now)

    def _look_for_more_vips(self, now: float) -> None:
        """Wait for the share of a VIP that wasn't served before."""
        before, self._served = self._served, {served.vip.terms.vip for served in self._vips}
        if self._served - before:
            self._readiness.begin(now)

    def _any(self) -> bool:
        """Return whether anybody's sessions are for some nodes only, as far as is known here."""
        return self._active or self._stamp() != self._seen_for

    def _concerned(self) -> bool:
        """Return whether anybody who is here says so, or was said to by a maker that is gone."""
        return (
            any(served.vip.terms.copies for served in self._vips)
            or any(terms.copies for peer in self._members for terms in peer.record.vips)
            or any(stream.terms.copies and stream.cached for stream in self._streams)
        )

    def _stamp(self) -> tuple[int, int]:
        return self._members.generation, self._vips.record.revision
