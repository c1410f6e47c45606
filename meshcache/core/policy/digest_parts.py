"""Short hashes of the single settings behind a group's digest, so that nodes can say in which of them they differ.

The digest alone decides whether sessions are exchanged; nothing here does. The hashes are no secret: a peer learns from
them that a setting is equal to its own, which the digest tells it anyway.
"""

from __future__ import annotations

from hashlib import blake2b

from meshcache.core.policy.scope import ClientAuth, Security

PART_BYTES = 4
"""Two settings that differ look equal once in four thousand million times, and then only to a reader's eye."""

PARTS_BYTES_MAX = 64
"""Room for sixteen settings in what a peer says; a newer node may have more than ours."""

UNNAMED = "a setting that one of them can't name"

_NAMES = (
    "how clients are asked for certificates",
    "the authorities of client certificates",
    "the revocation lists of client certificates",
    "the lowest TLS version",
    "the policy epoch",
    "what sessions are bound to",
    "the certificate chain",
    "whether TLS 1.2 has an extended master secret",
)


def parts_of(security: Security) -> bytes:
    """Return a hash of each setting that must agree, in a fixed order; new ones are added at the end."""
    auth = security.client_auth
    settings = (
        f"{auth.mode},{auth.depth}".encode(),
        b"".join(auth.authorities),
        auth.revocation,
        str(security.tls_floor).encode(),
        str(security.epoch).encode(),
        b"certificate" if security.chain else b"name",
        b"".join(security.chain),
        b"" if security.extended_master_secret else b"none",
    )
    return b"".join(blake2b(setting, digest_size=PART_BYTES).digest() for setting in settings)


def asks_clients(parts: bytes) -> bool:
    """Return whether certificates are asked of clients, as far as the parts tell."""
    return parts[:PART_BYTES] not in (b"", parts_of(Security("", ClientAuth(), 0))[:PART_BYTES])


def differing(one: bytes, other: bytes) -> tuple[str, ...]:
    """In words, the settings in which two nodes differ whose digests do; `UNNAMED` where the parts don't show it.

    The chain isn't named beside what sessions are bound to: it is in the digest of one of them only.
    """
    pairs = zip(_NAMES, _split(one), _split(other), strict=False)
    found = [name for name, mine, others in pairs if mine != others]
    if _NAMES[5] in found and _NAMES[6] in found:
        found.remove(_NAMES[6])
    return tuple(found) or (UNNAMED,)


def _split(parts: bytes) -> list[bytes]:
    return [parts[at : at + PART_BYTES] for at in range(0, len(parts) - PART_BYTES + 1, PART_BYTES)]
