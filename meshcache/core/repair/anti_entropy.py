"""Compares what this node has seen with some peer every few seconds, and exchanges only what differs.

Finds what no gap and no heartbeat shows: sessions of an origin that died, and news of nodes far away.
"""

from __future__ import annotations

from hashlib import blake2b

from meshcache.core.control.live_policies import LivePolicies
from meshcache.core.control.withdraws import Withdraws
from meshcache.core.membership.roster_exchange import RosterExchange
from meshcache.core.repair.repair import Repair
from meshcache.core.repair.seen_streams import SeenStreams, in_parts
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer, PeerState
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.values.ranges import Ranges
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import (
    BUCKET_BYTES,
    BUCKETS,
    Digest,
    Vector,
)

_RUMOUR_PEERS = 3
"""Peers that hear of news at once: with one, a rumour among fifty would be a chain and not a tree."""

_WITHDRAW_ROUNDS = 5
"""Early comparisons after a withdraw: each may get lost, and so may its answer. For other news one has to do."""

_TURNS = 4
"""Of so many comparisons, one is with any peer and the others with one that shares something with this node: of fifty
peers it may be two."""


class AntiEntropy:
    """Compares in turn with each peer; `compare_soon` brings the next comparison forward."""

    def __init__(
        self,
        local: LocalNode,
        vips: ServedVips,
        members: Members,
        outbox: Outbox,
        seen: SeenStreams,
        repair: Repair,
        rosters: RosterExchange,
        withdraws: Withdraws,
        live: LivePolicies,
        now: float,
    ) -> None:
        self._local = local
        self._vips = vips
        self._members = members
        self._outbox = outbox
        self._seen = seen
        self._repair = repair
        self._rosters = rosters
        self._withdraws = withdraws
        self._live = live
        self._due_at = now + local.limits.entropy_s * local.rng.random()
        self._hurried = False
        self._rounds = 0
        self._withdraws_acted_on = 0
        self._turn = 0

    def next_due(self) -> float:
        """Return when to call `tick`."""
        return self._due_at

    def tick(self, now: float) -> None:
        """Compare with the least recently compared peer, or after news with a few peers at random.

        Not always at random: of seven peers one would now and then be left out for half a minute, and it may be the one
        that has what is missing.
        """
        if self._withdraws.acts != self._withdraws_acted_on:
            self._withdraws_acted_on = self._withdraws.acts
            self._rounds = _WITHDRAW_ROUNDS
            self.compare_soon(now)  # it was sent to each peer once, and what it ends goes on where it got lost
        if self._due_at > now:
            return
        self._due_at = now + self._local.limits.entropy_s * (0.8 + 0.4 * self._local.rng.random())
        alive = [peer for peer in self._members if peer.state is PeerState.ALIVE]
        self._turn += 1
        pool = [peer for peer in alive if self._kin(peer)] if self._turn % _TURNS else []
        pool = pool or alive
        longest_ago = min((peer.compared_at for peer in pool), default=0.0)
        if not self._hurried:
            pool = [peer for peer in pool if peer.compared_at == longest_ago]
        for _ in range(min(_RUMOUR_PEERS if self._hurried else 1, len(pool))):
            self.compare(pool.pop(self._local.rng.randrange(len(pool))), now)
        self._hurried = False
        self._rounds -= self._rounds > 0
        if self._rounds:
            self.compare_soon(now)

    def compare_soon(self, now: float) -> None:
        """Bring the next comparison forward: this node learnt something that its origin didn't tell it,
        or knows of a withdraw."""
        self._hurried = True
        soon = now + self._local.limits.entropy_hurry_s * (0.5 + 0.5 * self._local.rng.random())
        self._due_at = min(self._due_at, soon)

    def compare(self, peer: Peer, now: float, answer: bool = False) -> None:
        """Send a peer our digest; it answers with what differs."""
        peer.compared_at = now
        self._outbox.send(peer.address, self._digest(peer, now, answer))

    def digest_received(self, peer: Peer, digest: Digest, now: float) -> None:
        """Answer a peer's digest: send what this node has seen where it differs, ask for what is fresher there."""
        peer.compared_at = now
        ours = self._digest(peer, now, answer=True)
        mask = _differing(ours.buckets, digest.buckets)
        if mask and not digest.answer:
            self._tell(peer, mask, wants_reply=True)
        fresher = self._rosters.digests_received(peer, digest.colos, now)
        news = digest.withdraws != ours.withdraws
        if news:
            self._withdraws.tell(peer, now)
        policies = digest.live != ours.live
        if policies:
            self._live.tell(peer, now)
        if not digest.answer and (news or policies or fresher or _colos(ours) != _colos(digest)):
            self._outbox.send(peer.address, ours)

    def vector_received(self, peer: Peer, vector: Vector, now: float) -> None:
        """Take in what a peer says it has seen; what this node hasn't seen of it is a gap."""
        for key, flat in vector.seen:
            self._repair.claim_received(peer, key, flat, now)
        if vector.wants_reply:
            self._tell(peer, vector.buckets, wants_reply=False)

    def _kin(self, peer: Peer) -> bool:
        """Return whether a peer serves a share group of ours with equal settings,
        so that both may hold the same sessions.
        """
        ours = {(terms.group, terms.digest) for terms in self._vips.terms}
        return any((terms.group, terms.digest) in ours for terms in peer.record.vips)

    def _digest(self, peer: Peer, now: float, answer: bool) -> Digest:
        buckets = [0] * BUCKETS
        for key, seen in self._seen.view(peer):
            buckets[_bucket(key)] ^= _mark(key, seen)
        joined = b"".join(value.to_bytes(BUCKET_BYTES, "big") for value in buckets)
        return Digest(joined, self._rosters.digests(now), self._withdraws.digest(), answer, self._live.digest())

    def _tell(self, peer: Peer, mask: int, *, wants_reply: bool) -> None:
        chosen = [(key, seen) for key, seen in self._seen.view(peer) if mask >> _bucket(key) & 1]
        for at, part in enumerate(in_parts(chosen)):
            self._outbox.send(peer.address, Vector(mask, part, wants_reply and at == 0))


def _bucket(key: StreamKey) -> int:
    return blake2b(_name(key), digest_size=1).digest()[0] % BUCKETS


def _mark(key: StreamKey, seen: Ranges) -> int:
    flat = b"".join(b"%d-%d," % pair for pair in seen)
    return int.from_bytes(blake2b(_name(key) + flat, digest_size=BUCKET_BYTES).digest(), "big")


def _name(key: StreamKey) -> bytes:
    return f"{len(key.origin)}:{key.origin}{key.incarnation}:{key.vip};".encode()


def _differing(ours: bytes, theirs: bytes) -> int:
    mask = 0
    for at in range(BUCKETS):
        part = slice(at * BUCKET_BYTES, (at + 1) * BUCKET_BYTES)
        mask |= (ours[part] != theirs[part]) << at
    return mask


def _colos(digest: Digest) -> list[tuple[str, bytes]]:
    return sorted((told.colo, told.digest) for told in digest.colos)
