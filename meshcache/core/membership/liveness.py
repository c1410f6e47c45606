"""Watches peers: sends heartbeats, asks those that fall silent, and suspects, loses and forgets them in that order.

Doubts this node first: when its own timer comes late, everybody gets that much more time. Tells nobody what it thinks.
"""

from __future__ import annotations

from meshcache.core.membership.joining import Joining
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.outlet import Outlet
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.events import LoopStalled
from meshcache.core.wire.messages import Heartbeat, Leave, Ping, Pong

_CHECK_S_MIN = 0.05
"""Between two looks at all peers."""

_SUSPECT_PAUSES = 4
"""A suspect is asked so many times less often than one that has only just fallen silent."""

_LOSS_WEIGHT = 0.2
"""Of the newest heartbeat in a peer's loss: half of a change is seen after three."""

_LOSS_FULL = 0.5
"""Loss at which times are stretched to the full."""

_RTT_WEIGHT = 0.3

_TOKENS = 1 << 32

_PINGS_MAX = 8
"""Of one peer, that it may still answer: where one goes every ten seconds, a way there and back of over a minute is
measured too."""


class Liveness:
    """Keeps heartbeats going to peers, and takes those that fall silent from alive to suspect, lost and forgotten.

    Asks the outlet whether this node wants a link to a peer; if not, silence ends the link and means nothing.
    """

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        joining: Joining,
        outlet: Outlet,
        now: float,
    ) -> None:
        self._local = local
        self._telemetry = telemetry
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._joining = joining
        self._outlet = outlet
        self._beat_at = now + local.limits.heartbeat_s * local.rng.random()
        self._check_at = now
        self._expected_at = now + local.limits.heartbeat_s
        self._stalled = (now, 0.0)

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        return min(self._beat_at, self._check_at)

    def tick(self, now: float) -> None:
        """Send heartbeats, ask, suspect, lose and forget, as far as it is due."""
        if self._check_at <= now:
            self._check_at = now + self._local.limits.heartbeat_s
            for peer in self._members:
                self._check(peer, now)
        if self._beat_at <= now:
            self._beat_at = max(
                self._beat_at + self._local.limits.heartbeat_s, now + self._local.limits.heartbeat_s / 2
            )
            for peer in self._members:
                if peer.usable:
                    self.send_heartbeat(peer)

    def doubt_ourselves(self, now: float) -> None:
        """Give all peers as much more time as this call is late: a stall of ours is nobody else's silence."""
        late_s = now - self._expected_at
        self._expected_at = max(now, self.next_due())
        if late_s < self._local.limits.stall_s:
            return
        self._stalled = (now, late_s)
        for peer in self._members:
            peer.heard_at = min(peer.heard_at + late_s, now)
            peer.late_s, peer.ping_at = max(peer.late_s, late_s), now
        self._telemetry.events.add(LoopStalled(now, late_s))

    def stalled_s(self, now: float) -> float:
        """Return how long what is read now may have waited for this node: its stall, while it lasts and right after."""
        late_s, (ended_at, stalled_s) = now - self._expected_at, self._stalled
        lately_s = stalled_s if now - ended_at < self._local.limits.suspect_s else 0.0
        return max(late_s if late_s >= self._local.limits.stall_s else 0.0, lately_s)

    def rest(self, now: float) -> None:
        """Note when the timer is expected next; call it when all that was due is done."""
        self._expected_at = max(now, self.next_due())

    def send_heartbeat(self, peer: Peer) -> None:
        """Send a peer our heartbeat."""
        peer.beats_sent += 1
        may = [
            self._vips.send(served.vip.terms, peer.record) and self._outlet.gets_all(served.vip.terms, peer)
            for served in self._vips
        ]
        newest = tuple(served.flushed_seq if ok else 0 for served, ok in zip(self._vips, may, strict=True))
        revision, knows = self._vips.record.revision, peer.record.revision
        chosen = self._outlet.wants_link(peer)
        peer.parting = not chosen
        beat = Heartbeat(peer.beats_sent, revision, knows, newest, chosen, self._joining.joining)
        self._outbox.send(peer.address, beat)

    def heartbeat_received(self, peer: Peer, beat: Heartbeat) -> None:
        """Take in a peer's heartbeat, and learn from its count how many got lost on the way."""
        peer.joining, peer.chosen = beat.joining, beat.chosen
        self._joining.knows(peer, beat.knows)
        since = beat.count - peer.beats
        if since > 0:
            missed = (since - 1) / since if peer.beats else 0.0
            peer.loss += _LOSS_WEIGHT * (missed - peer.loss)
            peer.beats = beat.count

    def ping(self, peer: Peer, now: float) -> None:
        """Ask a peer for a sign of life, and measure the round trip."""
        token = self._local.rng.randrange(_TOKENS)
        peer.pings = (*peer.pings[1 - _PINGS_MAX :], (token, now))
        limits = self._local.limits
        pause_s = limits.ping_s * (0.9 + 0.2 * self._local.rng.random())
        peer.ping_at = now + (limits.heartbeat_s if peer.sought else pause_s)
        self._outbox.send(peer.address, Ping(token))

    def ping_received(self, peer: Peer, ping: Ping, now: float) -> None:
        """Answer a ping at once."""
        self._outbox.send(peer.address, Pong(ping.token, max(int(now * 1000), 0)))

    def pong_received(self, peer: Peer, pong: Pong, now: float) -> None:
        """Take the round trip of a ping. Answers that an older one overtook are signs of life and no more."""
        sent_at = next((at for token, at in peer.pings if token == pong.token), None)
        if sent_at is None:
            return
        rtt_s = now - sent_at
        peer.late_s = rtt_s if peer.unproven else min(peer.late_s, rtt_s)
        if pong.clock_ms:
            peer.ahead_s = pong.clock_ms / 1000 - (sent_at + rtt_s / 2)
        peer.pings = tuple(ping for ping in peer.pings if ping[1] > sent_at)
        peer.sent_after = sent_at
        peer.rtt_s = rtt_s if peer.rtt_s is None else peer.rtt_s + _RTT_WEIGHT * (rtt_s - peer.rtt_s)
        self._members.found_there(peer, now)
        if peer.unproven:
            self.ping(peer, now)

    def withdrawn(self, now: float) -> None:
        """Have each peer prove that what comes from it was sent after this moment, at which a withdraw came. However
        many of those follow on one another, one ping of each peer at a time is under way for it.
        """
        for peer in self._members:
            waits, peer.withdrawn_at = peer.unproven, now
            if peer.usable and not waits:
                self.ping(peer, now)

    def leave_received(self, peer: Peer, _leave: Leave, now: float) -> None:
        """Note that a peer said goodbye."""
        self._members.left(peer, now)
        self._gone(peer, now)

    def leave(self) -> None:
        """Say goodbye to everyone."""
        addresses = [peer.address for peer in self._members if peer.usable]
        self._outbox.send_all(addresses, Leave())

    def _check(self, peer: Peer, now: float) -> None:
        limits, silent_s = self._local.limits, now - peer.heard_at
        stretch = self._stretch(peer)
        unneeded = peer.parting and not peer.chosen
        if not self._outlet.wants_link(peer) and (unneeded or silent_s >= limits.suspect_s * stretch):
            if silent_s >= limits.suspect_s * stretch:  # it may be we who aren't heard, by anybody
                self._joining.remembered_addresses.remember(peer.address, peer.heard_at, now)
            self._members.part(peer)
            self._outbox.drop(peer.address)
        elif silent_s >= limits.forget_s:
            self._members.forget(peer, now)
            self._joining.remembered_addresses.remember(peer.address, peer.heard_at, now)
            self._gone(peer, now)
        elif peer.state is PeerState.LOST:
            self._redial(peer, now, limits.redial_s)
        elif silent_s >= limits.lost_s * stretch:
            self._members.lose(peer, now)
            self._joining.candidates.missing(peer.name, now)
            self._redial(peer, now, limits.redial_s)
        else:
            self._watch(peer, now, silent_s, stretch)

    def _watch(self, peer: Peer, now: float, silent_s: float, stretch: float) -> None:
        limits = self._local.limits
        if peer.state is PeerState.ALIVE and silent_s >= limits.suspect_s * stretch:
            self._members.doubt(peer, now)
            self._outlet.peer_doubted(now)
        if peer.state is PeerState.SUSPECT:
            self._redial(peer, now, limits.heartbeat_s)
        self._members.displace_unfound(peer, now)
        if silent_s >= limits.probe_after_s:
            self._probe(peer, now)
        elif peer.ping_at <= now:
            self.ping(peer, now)
        step = limits.suspect_s if peer.state is PeerState.ALIVE else limits.lost_s
        asked_at = max(peer.heard_at + limits.probe_after_s, peer.probe_at)
        self._wake(now, min(peer.heard_at + step * stretch, max(asked_at, now + limits.probe_s)))

    def _probe(self, peer: Peer, now: float) -> None:
        if peer.probe_at <= now:
            pauses = 1 if peer.state is PeerState.ALIVE else _SUSPECT_PAUSES
            peer.probe_at = now + self._local.limits.probe_s * pauses
            self.ping(peer, now)

    def _redial(self, peer: Peer, now: float, pause_s: float) -> None:
        """Send a silent peer a hello: one that restarted or was cut off may not know this node any more."""
        if peer.hello_at <= now:
            self._joining.greet(peer, now)
            peer.hello_at = now + pause_s * (0.8 + 0.2 * self._local.rng.random())
        self._wake(now, peer.hello_at)

    def _stretch(self, peer: Peer) -> float:
        limits = self._local.limits
        over = (peer.loss - limits.loss_tolerated) / (_LOSS_FULL - limits.loss_tolerated)
        return 1.0 + (limits.loss_stretch - 1.0) * min(max(over, 0.0), 1.0)

    def _wake(self, now: float, at: float) -> None:
        self._check_at = min(self._check_at, max(at, now + _CHECK_S_MIN))

    def _gone(self, peer: Peer, now: float) -> None:
        self._joining.candidates.missing(peer.name, now)
        self._outbox.drop(peer.address)
