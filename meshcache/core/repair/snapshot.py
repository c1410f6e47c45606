"""Catches up after a start: one ready peer gives what it has, newest first, while this node already serves.

If the source goes, another one goes on where it stopped: what was seen is not asked for again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from meshcache.core.membership.joining import Joining
from meshcache.core.repair.repair import Repair
from meshcache.core.repair.seen_streams import SeenStreams, in_parts
from meshcache.core.repair.serving import Serving
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.events import SnapshotFinished
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import (
    VECTORS_MAX,
    FetchEnd,
    SnapshotAsk,
    SnapshotOffer,
)

_FETCHES = 4
"""Streams fetched at a time: hides the round trips to a source in another colo."""

_BUSY_S = 0.25


class CatchUp(NamedTuple):
    """How far a node is with what its peers had before it came."""

    done: bool
    """It has all of it, or found nobody who could give it; what came later and is still missing is left to repair."""
    source: str
    """The peer that gives, or gave last; empty: none yet."""
    sessions: int
    """That came so far."""


@dataclass(slots=True)
class _Wanted:
    key: StreamKey
    upto: int
    tries: int = 0


_TRIES_MAX = 40
"""Times a source may be busy or silent for one stream before it is left to repair."""


class Snapshot:
    """Catches this node up after a start, as the joiner that it is at first; later lends a place to others who join."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        joining: Joining,
        repair: Repair,
        serving: Serving,
        seen: SeenStreams,
        now: float,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._joining = joining
        self._repair = repair
        self._serving = serving
        self._seen = seen
        self._source = ""
        self._tried: list[str] = []
        self._wanted: deque[_Wanted] = deque()
        self._offers = 0
        self._waiting = 0
        self._turn = 0
        self._came = 0
        self._looked_at = self._due_at = now
        self.begin(now)

    def next_due(self) -> float:
        """Return when to call `tick` next: at once when the source has gone, for another is to go on."""
        if not self._joining.joining:
            return float("inf")
        return min(self._due_at, self._looked_at) if self._is_deserted() else self._due_at

    def peer_joined(self, peer: Peer, now: float) -> None:
        """A peer has come: as a joiner without a source, ask it at once if it may be one."""
        if self._joining.joining and not self._source and not peer.joining:
            self._due_at = min(self._due_at, now)

    def begin(self, now: float) -> None:
        """Be a joiner: at first, and when one more VIP is served, since a source offered what the terms were then."""
        self._began_at = self._due_at = now
        self._had = self._telemetry.counters.repaired
        self._source = ""
        self._turn += 1
        self._tried.clear()
        self._wanted.clear()
        self._joining.say_joining(True)
        self._repair.pause()

    @property
    def progress(self) -> CatchUp:
        """How far this node is as a joiner."""
        joining = self._joining.joining
        return CatchUp(
            not joining, self._source, self._telemetry.counters.repaired - self._had if joining else self._came
        )

    def tick(self, now: float) -> None:
        """As a joiner: look for a source, or go on with it; stop when there is none in time."""
        deserted = self._is_deserted()
        if not self._joining.joining or (self._due_at > now and not deserted):
            return
        self._looked_at = now
        self._due_at = now + self._local.limits.snapshot_ask_s
        if deserted:
            self._source = ""
        if self._source and (self._wanted or self._waiting):
            self._fetch(now)
        elif not self._give_up(now) and self._vips:
            self._look_for_a_source()

    def request_received(self, peer: Peer, ask: SnapshotAsk, now: float) -> None:
        """As a source: give a joiner the place, and the streams it may fetch."""
        if ask.done:
            self._serving.done(peer)
            return
        if self._joining.joining or not self._serving.place(peer, now):
            self._outbox.send(peer.address, SnapshotOffer(False))
            return
        parts = in_parts(self._seen.view(peer))
        for at, part in enumerate(parts):
            self._outbox.send(peer.address, SnapshotOffer(True, part, at < len(parts) - 1))

    def offer_received(self, peer: Peer, offer: SnapshotOffer, now: float) -> None:
        """As a joiner: take a source's answer, and begin to fetch or ask the next."""
        if not self._joining.joining or peer.name != self._source or self._offers >= VECTORS_MAX:
            if offer.granted and not offer.more:
                # It came too late: somebody else may have the place.
                self._outbox.send(peer.address, SnapshotAsk(done=True))
            return
        if not offer.granted:
            self._source, self._due_at = "", now + _BUSY_S * (0.5 + self._local.rng.random())
            return
        self._offers += 1
        own = self._local.identity
        for key, flat in offer.seen:
            if flat and key[:2] != (own.node, own.incarnation) and self._repair.missing(key, flat[-1]):
                self._wanted.append(_Wanted(key, flat[-1]))
        if offer.more:
            return
        self._fetch(now)

    def _look_for_a_source(self) -> None:
        ready = [peer for peer in self._members if peer.state is PeerState.ALIVE and not peer.joining]
        fresh = [peer for peer in ready if peer.name not in self._tried]
        if not fresh:
            self._tried.clear()
        near = [peer for peer in fresh or ready if peer.colo == self._local.identity.colo]
        peer = self._local.pick(near or fresh or ready)
        if peer is None:
            return
        self._source, self._offers, self._waiting = peer.name, 0, 0
        self._turn += 1
        self._wanted.clear()
        self._tried.append(peer.name)
        self._outbox.send(peer.address, SnapshotAsk())

    def _give_up(self, now: float) -> bool:
        limits, elapsed_s = self._local.limits, now - self._began_at
        nobody = not any(peer.usable and not peer.joining for peer in self._members)
        allowed_s = limits.snapshot_wait_s if nobody or not self._vips else limits.snapshot_busy_s
        if elapsed_s < allowed_s:
            return False
        self._finish(now, complete=nobody)
        return True

    def _fetch(self, now: float) -> None:
        peer = self._members.get(self._source)
        if peer is None or now - self._began_at > self._local.limits.snapshot_s_max:
            self._finish(now, complete=False)
            return
        while self._wanted and self._waiting < _FETCHES:
            wanted = self._wanted.popleft()
            ranges = self._repair.missing(wanted.key, wanted.upto)
            if ranges:
                self._ask(peer, wanted, ranges, now)
        if not self._wanted and not self._waiting:
            self._outbox.send(peer.address, SnapshotAsk(done=True))
            self._finish(now, complete=True)

    def _ask(self, peer: Peer, wanted: _Wanted, ranges: tuple[tuple[int, int], ...], now: float) -> None:
        turn = self._turn

        def ended(end: FetchEnd | None, _batches: int, then: float) -> None:
            if self._turn == turn and self._joining.joining:
                self._waiting -= 1
                self._ended(wanted, ranges, end, then)

        self._waiting += 1
        self._repair.ask(peer, wanted.key, ranges, now, ended, snapshot=True)

    def _ended(self, wanted: _Wanted, asked: tuple[tuple[int, int], ...], end: FetchEnd | None, now: float) -> None:
        moved = self._repair.missing(wanted.key, wanted.upto) != asked  # what comes may be refused
        wanted.tries = 0 if moved else wanted.tries + 1
        if end is FetchEnd.MORE and moved:
            self._wanted.append(wanted)
        elif end in (FetchEnd.BUSY, None) and wanted.tries < _TRIES_MAX:
            self._wanted.append(wanted)
            self._due_at = now + _BUSY_S
            return
        elif end is FetchEnd.DONE and asked[0][0] > 1:  # of those there was all; there was no room for what is below
            self._wanted.append(_Wanted(wanted.key, asked[0][0] - 1))
        self._fetch(now)

    def _finish(self, now: float, *, complete: bool) -> None:
        self._joining.say_joining(False)
        self._repair.go_on()
        came = self._came = self._telemetry.counters.repaired - self._had
        if self._source or came:
            self._telemetry.events.add(SnapshotFinished(now, self._source, came, complete))
        self._wanted.clear()
        for peer in self._members:
            if peer.usable and peer.joining:  # it looks for a source, and takes us for another joiner
                self._joining.greet(peer, now)

    def _is_deserted(self) -> bool:
        return bool(self._source) and not self._alive(self._source)

    def _alive(self, name: str) -> bool:
        peer = self._members.get(name)
        return peer is not None and peer.state is PeerState.ALIVE
