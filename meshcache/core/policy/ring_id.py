"""Names the border within which one set of ticket keys is good: share group, settings that must agree, reach.

A key opens every ticket of its ring, so two nodes share a ring only where each session of the one may cross to the
other and back. Who differs in anything, also in how far its reach goes, has another ring: full handshakes between them.
"""

from __future__ import annotations

from hashlib import sha256

from meshcache.core.policy.gates import Reach, ReachKind, Terms, Verdict, may_cross

RING_ID_BYTES = 16
_TAG = b"meshcache/1 ticket ring"


def ring_id(terms: Terms) -> bytes:
    """Return the id of the ring that a VIP on these terms is in. Says nothing to who doesn't know the terms."""
    parts = (terms.group.encode(), terms.digest, *_border(terms.reach, terms.colo, terms.node))
    return sha256(_TAG + b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()[:RING_ID_BYTES]


def may_share(ours: Terms, theirs: Terms) -> Verdict:
    """Return whether two nodes may have one ring's keys: the gates of sessions in both directions, then one border."""
    for verdict in (may_cross(ours, theirs), may_cross(theirs, ours)):
        if not verdict:
            return verdict
    return Verdict.ALLOWED if ring_id(ours) == ring_id(theirs) else Verdict.OTHER_RING


def _border(reach: Reach, colo: str, node: str) -> tuple[bytes, ...]:
    match reach.kind:
        case ReachKind.SERVER:
            return b"server", colo.encode(), node.encode()
        case ReachKind.COLO:
            return b"colos", colo.encode()
        case ReachKind.COLOS:
            return b"colos", *(name.encode() for name in sorted(reach.colos | {colo}))
        case ReachKind.EVERYWHERE:
            return (b"everywhere",)
