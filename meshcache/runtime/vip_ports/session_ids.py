"""Makes and reads the ids of sessions for one node: under the keys of its mesh, in the name of its present life.

Holds keys, which are secrets; shared by all VIPs of the node. `core.values.session_id` says what is in an id.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from meshcache.core.values.session_id import NONCE_BYTES, Claim, IdKey, life_of, read_claim
from meshcache.edges.keyring import Keyring


class SessionIds:
    """Makes and reads the session ids of one node. Threads may share it; what changes is replaced as a whole."""

    def __init__(self, mesh: str, name: str, keyring: Keyring, clock: Callable[[], float]) -> None:
        self._mesh = mesh
        self._name = name
        self._clock = clock
        self.life = life_of(name, 0)
        """What this node's ids say of it."""
        self.keys: tuple[IdKey, ...] = ()
        """Those under which ids are read; the first makes them."""
        self.use(keyring)

    def use(self, keyring: Keyring) -> None:
        """Take other keys: ids of a key that was retired are strangers' from now on."""
        self.keys = tuple(IdKey(*key.session_ids(self._mesh)) for key in keyring.in_order)

    def live_as(self, incarnation: int) -> None:
        """Make ids in the name of this life from now on."""
        self.life = life_of(self._name, incarnation)

    @property
    def secrets(self) -> bytes:
        """The keys, for the compiled callbacks: of each the seal's, then the veil's."""
        return b"".join(key.seal + key.veil for key in self.keys)

    def mint(self) -> bytes:
        """Return the id for a session that is being made."""
        return self.keys[0].mint(self.life, self._clock(), os.urandom(NONCE_BYTES))

    def minted(self, session_id: bytes) -> bool:
        """Return whether a member made this id."""
        return self.read(session_id) is not None

    def read(self, session_id: bytes) -> Claim | None:
        """Return what an id says; None for one that no member made, or under a key that isn't here."""
        return read_claim(self.keys, session_id)
