"""Session ids that say to members of a mesh, and to nobody else, which node made them, in which life, and when.

32 bytes, as OpenSSL makes them, which nobody without the key can tell from random ones:

    facts   birth, milliseconds of the maker's monotonic clock (5 bytes); a hash of the maker's name (4); the low end of
            its incarnation (3); random (8)
    seal    BLAKE2s of the facts under one key, 12 bytes
    id      seal, then facts XOR BLAKE2s of the seal under another key

The seal is both the check and what makes each id's veil another one (a synthetic IV, as in RFC 5297): it needs no
state, and two ids are equal only if all facts are, 64 random bits among them. Whoever has no key forges one in 2^96
tries, each of which is a ClientHello. Both keys come from a mesh key and serve nothing else.

An id proves nothing but that a member made it, once: not that its session lives, nor whose it is now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2s, sha256
from hmac import compare_digest
from typing import Final, NamedTuple

ID_BYTES: Final = 32
KEY_BYTES: Final = 32
NODE_BYTES: Final = 4
"""Of the hash of a name: two of 4,096 nodes share one in 500 meshes, and then the wrong one may be asked, in vain."""

LIFE_BYTES: Final = NODE_BYTES + 3
"""The incarnation's low end tells lives apart that began within 4.6 hours, and all but one of 16 million others."""

NONCE_BYTES: Final = 8
_SEAL_BYTES, _FACTS_BYTES, _BIRTH_BYTES = 12, 20, 5
_BIRTH_MS_MAX = (1 << 8 * _BIRTH_BYTES) - 1


class Claim(NamedTuple):
    """What a member said of a session when it made its id. ``born_at`` is seconds on the maker's own clock.
    ``id`` is a secret.
    """

    id: bytes
    node: bytes
    life: bytes
    born_at: float

    def __repr__(self) -> str:
        return f"<Claim of {self.node.hex()}>"


@dataclass(frozen=True, slots=True)
class IdKey:
    """What one mesh key gives for ids."""

    seal: bytes = field(repr=False)
    veil: bytes = field(repr=False)

    def mint(self, life: bytes, born_at: float, nonce: bytes) -> bytes:
        """Return a new id. `life` is of `life_of`, `nonce` are random bytes, never used before."""
        assert len(nonce) == NONCE_BYTES, "uniqueness is theirs"
        born_ms = min(max(int(born_at * 1000), 0), _BIRTH_MS_MAX)
        facts = born_ms.to_bytes(_BIRTH_BYTES) + life + nonce
        seal = blake2s(facts, key=self.seal, digest_size=_SEAL_BYTES).digest()
        return seal + self._veiled(seal, facts)

    def read(self, session_id: bytes) -> Claim | None:
        """Return what an id says, if it was made under this key."""
        seal = session_id[:_SEAL_BYTES]
        facts = self._veiled(seal, session_id[_SEAL_BYTES:])
        if not compare_digest(blake2s(facts, key=self.seal, digest_size=_SEAL_BYTES).digest(), seal):
            return None
        life = facts[_BIRTH_BYTES : _BIRTH_BYTES + LIFE_BYTES]
        return Claim(session_id, life[:NODE_BYTES], life, int.from_bytes(facts[:_BIRTH_BYTES]) / 1000)

    def _veiled(self, seal: bytes, facts: bytes) -> bytes:
        veil = blake2s(seal, key=self.veil, digest_size=_FACTS_BYTES).digest()
        return (int.from_bytes(veil) ^ int.from_bytes(facts)).to_bytes(_FACTS_BYTES)


def read_claim(keys: Iterable[IdKey], session_id: bytes) -> Claim | None:
    """Return what an id says that was made under one of these keys; None for anybody else's, of whatever length."""
    if len(session_id) != ID_BYTES:
        return None
    return next((claim for key in keys if (claim := key.read(session_id)) is not None), None)


def node_of(name: str) -> bytes:
    """Return what ids say in place of a node's name."""
    return sha256(b"meshcache node\0" + name.encode()).digest()[:NODE_BYTES]


def life_of(name: str, incarnation: int) -> bytes:
    """Return what ids say of one life of a node."""
    return node_of(name) + (incarnation & 0xFFFFFF).to_bytes(LIFE_BYTES - NODE_BYTES)
