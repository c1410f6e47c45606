"""Short hashes of the single settings behind a group's digest, so that nodes can say in which of them they differ.

The digest alone decides whether sessions are exchanged; nothing here does. The hashes are no secret: a peer learns from
them that a setting is equal to its own, which the digest tells it anyway.
"""

from __future__ import annotations

from functools import cache
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
    return b"".join(map(_hash, settings))


def asks_clients(parts: bytes) -> bool:
    """Return whether certificates are asked of clients, as far as the parts tell."""
    return parts[:PART_BYTES] not in (b"", parts_of(Security("", ClientAuth(), 0))[:PART_BYTES])


def differing(one: bytes, other: bytes) -> tuple[str, ...]:
    """Return in words the settings in which two nodes differ whose digests do; `UNNAMED` where parts don't show it.

    The chain isn't named beside what sessions are bound to: it is in the digest of one of them only.
    """
    pairs = zip(_NAMES, _split(one), _split(other), strict=False)
    found = [name for name, mine, others in pairs if mine != others]
    if _NAMES[5] in found and _NAMES[6] in found:
        found.remove(_NAMES[6])
    return tuple(found) or (UNNAMED,)


def with_values(one: bytes, other: bytes) -> tuple[str, ...]:
    """Return what `differing` does, each with both values as far as hashes tell: ``the lowest TLS version (TLS 1.2
    here, TLS 1.3 there)``.

    A setting that has few values is recognised by its hash; of a list or a chain the hash itself is shown, by which an
    operator sees which nodes are alike.
    """
    mine, theirs = _split(one), _split(other)
    told = []
    for name in differing(one, other):
        at = _NAMES.index(name) if name in _NAMES else len(_NAMES)
        known = at < min(len(mine), len(theirs))
        told.append(f"{name} ({_value(at, mine[at])} here, {_value(at, theirs[at])} there)" if known else name)
    return tuple(told)


def _value(at: int, part: bytes) -> str:
    return _values(at).get(part) or f"#{part.hex()}"


@cache
def _values(at: int) -> dict[bytes, str]:
    """Return the values of a setting that can be told by their hashes."""
    match _NAMES[at]:
        case "how clients are asked for certificates":
            words = {
                f"{mode},{depth}": word + ("" if depth < 0 else f", depth {depth}")
                for mode, word in _MODES.items()
                for depth in range(-1, _DEPTHS)
            }
        case "the lowest TLS version":
            words = {str(0x0301 + minor): f"TLS 1.{minor}" for minor in range(4)}
        case "the policy epoch":
            words = {str(epoch): str(epoch) for epoch in range(_EPOCHS)}
        case "what sessions are bound to":
            words = {"certificate": "certificate", "name": "name"}
        case "whether TLS 1.2 has an extended master secret":
            words = {"": "yes", "none": "no"}
        case _:
            words = {"": "none"}
    return {_hash(value.encode()): word for value, word in words.items()}


_MODES = {0: "not asked", 1: "optional", 3: "required", 5: "optional, once", 7: "required, once"}
"""By OpenSSL's verify mode (SSL_CTX_set_verify(3))."""

_DEPTHS, _EPOCHS = 101, 1024
"""As many as a configuration allows, and more than anybody has had."""


def _hash(setting: bytes) -> bytes:
    return blake2b(setting, digest_size=PART_BYTES).digest()


def _split(parts: bytes) -> list[bytes]:
    return [parts[at : at + PART_BYTES] for at in range(0, len(parts) - PART_BYTES + 1, PART_BYTES)]
