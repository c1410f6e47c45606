"""Turns the core's ticket keys into what handshakes use: one derived key for each purpose, never the secret itself."""

from __future__ import annotations

from meshcache.core.mesh import MeshCore
from meshcache.core.tickets.ring import Ring
from meshcache.core.values.ticket_key import TicketKey
from meshcache.tls.ticket_keys import EdgeKey, EdgeKeys

AES, MAC = "TLS AES-256-CBC", "TLS HMAC-SHA-256"
"""Purposes: what is exported for other servers is derived for others (`ticket_files`)."""


def edge_keys(
    core: MeshCore, vip: str, now: float, lifetimes_s: tuple[float, float], lineage_s: float
) -> EdgeKeys | None:
    """Return a VIP's keys as they are now; None when it has no tickets. With the core's lock held."""
    found = core.tickets.of_vip(vip, now)
    if found is None:
        return None
    opening = {key.name: _edge_key(found.ring, key) for key in found.opening}
    current = None if found.encrypting is None else opening[found.encrypting.name]
    return EdgeKeys(current, opening, core.name, *lifetimes_s, lineage_s)


def _edge_key(ring: Ring, key: TicketKey) -> EdgeKey:
    return EdgeKey(
        key.name,
        key.derive(AES),
        key.derive(MAC),
        key.born_at,
        ring.encrypts_until(key),
        ring.opens_until(key),
        key.lifetime_s,
    )
