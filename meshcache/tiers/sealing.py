"""Seals sessions before they leave memory, and opens what comes back: whoever has the store alone has nothing.

A value is AES-256-GCM (NIST SP 800-38D) under a key derived from the mesh key, or from one that is nowhere but in
memory. What is authenticated with it is the key that it lies under, which hashes mesh, share group, settings, epoch and
session id: so a value that was moved, or comes from elsewhere, doesn't open. Reads and writes no store.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import blake2b, sha256
from types import ModuleType
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import meshcache.hot as hot
from meshcache.core.replication.leaving_sessions import Records
from meshcache.core.wire.tier_record import Border
from meshcache.errors import HookError
from meshcache.hooks import TIER_KEY_BYTES
from meshcache.tls import libssl

if TYPE_CHECKING:
    from meshcache.hot import TierSealer

VERSION = 1
"""Of the form of values. Another one is refused."""

_TAG = b"meshcache tier/1"
_KEY_ID_BYTES = 4
_BORDER_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = 1 + _KEY_ID_BYTES + _BORDER_BYTES
_TAG_BYTES = 16

OVERHEAD_BYTES = _HEAD_BYTES + _NONCE_BYTES + _TAG_BYTES
"""By which a sealed value is longer than what is in it."""

_NONCES = 512
"""Drawn at a time: asking the system for each takes longer than to encrypt."""

NO_BORDER = bytes(_BORDER_BYTES)
"""Of what belongs to no share group."""


class SealError(Exception):
    """A value doesn't open; ``reason`` is a word to count it by: version, key, border or forged."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Key:
    """One of the keyring: 256 keys are made of it, by the first byte of the place, so that random nonces don't meet
    before 2^40 values (SP 800-38D section 8.3 allows 2^32 under one).
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._made: list[AESGCM | None] = [None] * 256
        self.id = blake2b(b"id", digest_size=_KEY_ID_BYTES, key=secret, person=_TAG).digest()

    def for_place(self, key: bytes) -> AESGCM:
        made = self._made[key[0]]
        if made is None:
            made = self._made[key[0]] = AESGCM(self._made_for(key[0]))
        return made

    def compiled(self, module: ModuleType) -> TierSealer:
        """Return what does `Sealer.seal` with this key without the interpreter. Raises ValueError, HookError."""
        keys = bytearray().join(self._made_for(first) for first in range(256))
        try:
            sealer: TierSealer = module.TierSealer(libssl.pyopenssl().functions.addresses, self.id, keys)
        finally:
            keys[:] = bytes(len(keys))
        return sealer

    def _made_for(self, first: int) -> bytes:
        return blake2b(bytes((first,)), digest_size=32, key=self._secret, person=_TAG).digest()


class Sealer:
    """Seals and opens one node's entries, on any thread; a change of keys makes a new sealer."""

    def __init__(self, secrets: Sequence[bytes], mesh: str) -> None:
        """The first secret seals; each of them opens."""
        self._keys = {key.id: key for key in map(_Key, reversed(secrets))}
        self._current = list(self._keys.values())[-1]
        self._mesh = mesh.encode()
        self._nonces: list[bytes] = []
        self._places: dict[Border, _Places] = {}
        self._compiled: TierSealer | None = None

    def key_of(self, border: Border, session_id: bytes) -> bytes:
        """Return where a session lies: a hash that differs by mesh, share group, settings, epoch and id."""
        return self._of(border).key_of(session_id)

    def key_of_words(self, *words: str) -> bytes:
        """Return where something lies that isn't a session."""
        return _digest(b"words", self._mesh, *(word.encode() for word in words))[:TIER_KEY_BYTES]

    def tag_of(self, border: Border) -> bytes:
        """Return the bytes in a value that say which border it is for."""
        return self._of(border).tag

    def seal(self, key: bytes, plain: bytes, tag: bytes = NO_BORDER) -> bytes:
        """Return the value to keep under `key`."""
        head = bytes((VERSION,)) + self._current.id + tag
        nonce = self._nonce()
        return b"".join((head, nonce, self._current.for_place(key).encrypt(nonce, plain, head + key)))

    def seal_many(self, border: Border, records: Records) -> bytes:
        """Return the entries of these records, sealed, as `sealed_entries` reads them; `can_compile` must say yes.

        The interpreter runs others meanwhile.
        """
        assert hot.compiled is not None, "whoever has records can seal them"
        if self._compiled is None:
            self._compiled = self._current.compiled(hot.compiled)
        places = self._of(border)
        return self._compiled.seal(records, places.base, places.tag)

    def is_current(self, value: bytes) -> bool:
        """Return whether it is sealed with the key that seals today."""
        return value[1 : 1 + _KEY_ID_BYTES] == self._current.id

    def tag_in(self, value: bytes) -> bytes:
        """Return for which border a value says that it is. Raises SealError for what isn't of this form."""
        if len(value) < OVERHEAD_BYTES or value[0] != VERSION:
            raise SealError("version")
        return value[1 + _KEY_ID_BYTES : _HEAD_BYTES]

    def open(self, key: bytes, value: bytes, tag: bytes = NO_BORDER) -> bytes:
        """Return what was sealed to lie under `key`, for the border of this tag. Raises SealError."""
        found = self.tag_in(value)
        sealed_with = self._keys.get(value[1 : 1 + _KEY_ID_BYTES])
        if sealed_with is None:
            raise SealError("key")
        if found != tag:
            raise SealError("border")
        head, ends = value[:_HEAD_BYTES], _HEAD_BYTES + _NONCE_BYTES
        try:
            return sealed_with.for_place(key).decrypt(value[_HEAD_BYTES:ends], value[ends:], head + key)
        except InvalidTag:
            raise SealError("forged") from None

    def _nonce(self) -> bytes:
        while True:
            try:
                return self._nonces.pop()
            except IndexError:
                drawn = os.urandom(_NONCE_BYTES * _NONCES)
                self._nonces.extend(drawn[at : at + _NONCE_BYTES] for at in range(0, len(drawn), _NONCE_BYTES))

    def _of(self, border: Border) -> _Places:
        known = self._places.get(border)
        if known is None:
            if len(self._places) >= _BORDERS_MAX:
                self._places.clear()
            known = self._places[border] = _Places(self._mesh, border)
        return known


def can_compile() -> bool:
    """Return whether many can be sealed at a time, without the interpreter."""
    return hot.compiled is not None and _compiles(hot.compiled)


@cache
def _compiles(module: ModuleType) -> bool:
    try:
        _Key(bytes(32)).compiled(module)
    except (HookError, ValueError, ImportError):
        return False
    return True


_BORDERS_MAX = 1024
"""Borders whose hash is remembered; forgotten all at once."""


class _Places:
    """The keys of one border's sessions."""

    def __init__(self, mesh: bytes, border: Border) -> None:
        parts = mesh, border.group.encode(), border.digest
        self.tag = _digest(b"border", *parts)[:_BORDER_BYTES]
        self.base = _lengthened((_TAG, b"session", *parts))
        """What is hashed before an id."""
        self._hashed = sha256(self.base)

    def key_of(self, session_id: bytes) -> bytes:
        place = self._hashed.copy()
        place.update(session_id)
        return place.digest()[:TIER_KEY_BYTES]


def _digest(*parts: bytes) -> bytes:
    return sha256(_lengthened((_TAG, *parts))).digest()


def _lengthened(parts: Iterable[bytes]) -> bytes:
    """Join parts so that they can't run into each other."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
