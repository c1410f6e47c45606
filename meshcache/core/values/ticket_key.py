"""A session ticket key of the mesh: one secret that every node of a border has, and the keys that are derived from it.

The secret never leaves this type but by `reveal`, for the wire. `repr` shows a name, as tickets do; nothing pickles it.
"""

from __future__ import annotations

import hmac
from typing import NoReturn

from meshcache.core.values.topology import Rng

SECRET_BYTES = 32
"""As much as AES-256 and HMAC-SHA-256 each can use: whoever guesses the secret has both."""

NAME_BYTES = 16
"""What begins each ticket (RFC 5077 section 4), and what OpenSSL's callback is asked for."""

RING_BYTES = 16
"""Of a ring's id: 2^64 rings before two are expected to be equal."""

GENERATION_MAX = 1 << 53
"""Also exact in JSON."""

ROTATE_S_MIN, ROTATE_S_MAX = 60, 7 * 24 * 3600
"""How long one key may encrypt. Shorter, and keys change while tickets are under way; longer, and a stolen key opens
weeks of recorded connections, which is what rotation is there to prevent."""

TICKET_LIFETIME_S_MAX = 7 * 24 * 3600
"""RFC 8446 section 4.6.1, as for sessions."""

_DISTINCT_BYTES_MIN = 12
"""32 random bytes have fewer distinct values once in 2^80 keys (as for mesh keys, `edges.keyring`)."""


class TicketKey:
    """One key of one ring. ``generation`` orders the keys of a ring; ``born_at`` is when it was made, by this node's
    monotonic clock. It encrypts for ``rotate_s`` and its tickets are good for at most ``lifetime_s``.
    """

    __slots__ = ("_secret", "born_at", "generation", "lifetime_s", "name", "ring", "rotate_s")

    def __init__(
        self, ring: bytes, secret: bytes, generation: int, born_at: float, rotate_s: float, lifetime_s: float
    ) -> None:
        self.ring = ring
        self._secret = bytearray(secret)
        self.generation = generation
        self.born_at = born_at
        self.rotate_s = rotate_s
        self.lifetime_s = lifetime_s
        self.name = self.derive(f"name {generation}", NAME_BYTES)
        """A pseudo-random function of secret, ring and generation: strangers learn nothing from it, and a member can't
        pass a key off under another's name or in another ring."""

    @property
    def rank(self) -> tuple[int, bytes]:
        """The order of the keys of a ring, the same on every node:
        the highest that all have is the one to encrypt with.
        """
        return self.generation, self.name

    def derive(self, purpose: str, length: int = 32) -> bytes:
        """Return up to 32 bytes for one purpose: a key is never used for two (HKDF-Expand, RFC 5869)."""
        message = b"meshcache/1 ticket " + purpose.encode() + b"\0" + self.ring + b"\x01"
        return hmac.digest(self._secret, message, "sha256")[:length]

    def fingerprint(self) -> bytes:
        """Return what tells secrets apart, whatever ring they are said to be of; says nothing about them."""
        return hmac.digest(self._secret, b"meshcache/1 ticket fingerprint", "sha256")[:NAME_BYTES]

    def born_by(self, born_at: float) -> None:
        """Take an older birth for its own. It never gets younger."""
        self.born_at = min(self.born_at, born_at)

    def reveal(self) -> bytes:
        """Return the secret itself, for the wire and nothing else."""
        return bytes(self._secret)

    def wipe(self) -> None:
        """Overwrite the secret. Copies that Python or OpenSSL made are out of reach."""
        self._secret[:] = bytes(len(self._secret))

    @property
    def wiped(self) -> bool:
        return not any(self._secret)

    def __repr__(self) -> str:
        return f"<TicketKey {self.name.hex()[:8]}… generation {self.generation}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ticket key is not for files")


def new_secret(rng: Rng) -> bytes:
    """Return the secret of a key that is made now."""
    while True:
        secret = rng.randrange(1 << 8 * SECRET_BYTES).to_bytes(SECRET_BYTES, "big")
        if weakness(secret) is None:
            return secret


def weakness(secret: bytes) -> str | None:
    """Return what makes a secret one that somebody could guess, in words; None for one that is as random as can be
    seen."""
    if len(secret) != SECRET_BYTES:
        return f"it has {len(secret)} bytes, not {SECRET_BYTES}"
    if len(set(secret)) < _DISTINCT_BYTES_MIN:
        return "it repeats itself"
    if all(32 <= byte < 127 for byte in secret):
        return "it is text"
    return None
