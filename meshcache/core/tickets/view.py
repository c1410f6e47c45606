"""The rings as operators see them: who is in each, and its keys by the first half of their names, never by value."""

from __future__ import annotations

from typing import Any

from meshcache.core.tickets.ring import Ring
from meshcache.core.tickets.ring_nodes import RingNodes
from meshcache.core.values.ticket_key import TicketKey


def shown_ring(ring: Ring, nodes: RingNodes, own: str, now: float) -> dict[str, Any]:
    """Return what ``tickets show`` says of a ring."""
    others = nodes.others(ring)
    return {
        "group": ring.group,
        "ring": ring.id.hex()[:8],
        "vips": sorted(ring.vips),
        "shared": ring.shared,
        "nodes": sorted({own, *others}),
        "rotate_s": ring.rotate_s,
        "next_by": nodes.in_turn(ring, others)[0],
        "next_in_s": round(max(ring.turns_at(ring.keys[0]) - now, 0.0), 1) if ring.keys else None,
        "keys": [_shown_key(ring, key, nodes, now) for key in ring.keys],
    }


def _shown_key(ring: Ring, key: TicketKey, nodes: RingNodes, now: float) -> dict[str, Any]:
    above = ring.current is None or key.rank > ring.current.rank
    return {
        "name": key.name.hex()[:8],
        "generation": key.generation,
        "age_s": round(now - key.born_at, 1),
        "state": "encrypts" if key is ring.encrypting(now) else "next" if above else "opens",
        "wiped_in_s": round(ring.opens_until(key) - now, 1),
        "without": sorted(nodes.without(ring, key)),
    }
