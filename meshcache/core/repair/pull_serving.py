"""Answers peers that ask for one session, since a handshake waits for it there: with that, or that it isn't here.

Gives nothing that the asking node's own terms don't allow, and no peer more answers than an honest one may ask for.
Asks nobody: `pulling` does.
"""

from __future__ import annotations

from meshcache.core.cache.cache import SessionCache
from meshcache.core.repair.serving import batch_of
from meshcache.core.replication.publisher import Publisher
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.state.tls_edge import TlsEdge
from meshcache.core.values.drops import Drop
from meshcache.core.values.token_bucket import Bucket
from meshcache.core.wire.messages import Batch, Pull, PullReply

_HURRIED_STEPS = 64
"""Rests of the pump after a peer's question that are short: where one handshake asks, others often do."""


class PullServing:
    """Who may be answered now, and whether peers have asked lately."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        cache: SessionCache,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        publisher: Publisher,
        edge: TlsEdge,
        now: float,
    ) -> None:
        limits = local.limits
        self._local = local
        self._telemetry = telemetry
        self._cache = cache
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._publisher = publisher
        self._edge = edge
        self._answers = Bucket(limits.pull_answers_per_s, 2 * limits.pulls_burst, now)
        self._answers_to: dict[str, Bucket] = {}
        self._hurries = 0

    @property
    def hurries(self) -> bool:
        """Whether peers have asked lately."""
        return self._hurries > 0

    def hurried(self, rest_s: float) -> float:
        """Return how long messages may lie unread: less where peers have asked lately, whose handshakes wait."""
        if self._hurries == 0:
            return rest_s
        self._hurries -= 1
        return min(rest_s, self._local.limits.pull_lies_s)

    def pull_received(self, peer: Peer, pull: Pull, now: float) -> None:
        """Give a peer the one session that it asks for, if it is here and may go there; also one that is collected."""
        self._hurries = _HURRIED_STEPS
        self._edge.settle()
        self._publisher.asked_for(pull.id, now)
        batch = self._find(peer, pull, now) if self._may_answer(peer, now) and peer.receives else None
        self._outbox.send_all([peer.address], PullReply(pull.token, batch), 0 if batch is None else 1)

    def _find(self, peer: Peer, pull: Pull, now: float) -> Batch | None:
        group = next((terms.group for terms in peer.record.vips if terms.vip == pull.vip), None)
        if group is None:
            self._refuse(peer, Drop.PULL_REFUSED, now)
            return None
        for served in self._vips:
            if served.vip.terms.group != group:
                continue
            session = self._cache.peek(served.vip.terms.vip, pull.id)
            stream = None if session is None else self._cache.streams.get(session.stream)
            if session is None or stream is None:
                continue
            stays = session.client_certificate and not served.vip.export_client_certificates
            if not session.seq or stays or session.expires_at - now < 1:
                return None
            if not self._vips.send(stream.terms, peer.record):
                self._telemetry.drop(Drop.PULL_REFUSED)
                return None
            return batch_of(stream, session.seq, session.seq, [session], now)
        return None

    def _may_answer(self, peer: Peer, now: float) -> bool:
        """Return whether a peer is answered now: all have one rate, and none more of it than an honest one may ask."""
        limits = self._local.limits
        if len(self._answers_to) > limits.peers_max:
            self._answers_to = {
                name: of for name, of in self._answers_to.items() if self._members.get(name) is not None
            }
        bucket = self._answers_to.get(peer.name)
        if bucket is None:
            bucket = self._answers_to[peer.name] = Bucket(limits.pulls_per_s, limits.pulls_burst, now)
        if bucket.take(1, now) and self._answers.take(1, now):
            return True
        self._telemetry.drop(Drop.PULL_RATE)
        return False

    def _refuse(self, peer: Peer, reason: Drop, now: float) -> None:
        self._telemetry.drop(reason)
        self._telemetry.refusals.note(peer.name, peer.address, reason, now)
