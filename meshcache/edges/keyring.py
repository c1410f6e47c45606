"""The mesh keyring: which keys make a member, which one this node's listener uses, and how keys are exchanged.

Pure values and their text form; `keyfile` reads and writes them. Never logs, prints or raises a secret.

A keyring holds one *current* key and a few *accepted* ones. A node listens with its current key, dials with any of them
and lets in whoever shows any of them, so that a mesh whose nodes are at different steps of a rotation stays one mesh:

    add      everywhere: all accept the new key, all still listen with the old one
    promote  everywhere: all listen with the new key, all still accept the old one
    retire   everywhere: the old key is worth nothing any more
"""

from __future__ import annotations

import base64
import binascii
import secrets
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

import zmq
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from zmq.utils import z85

from meshcache.errors import KeyringError

KEY_BYTES = 32
"""As much as Curve25519 can use (RFC 7748); a shorter key could be guessed offline from one captured handshake."""

KEYS_MAX = 4
"""The key that goes, the one in use, the one that comes, and one for an operator who lost count. Each makes a dialler
that finds none of them try once more, and each is one more secret to lose."""

DISTINCT_BYTES_MIN = 12
"""32 random bytes have about 30 distinct values, and fewer than 12 in one key of 2^80: that key is a mistake."""

_HEADER = """\
# The keys of a meshcache mesh. Whoever can read this file is a member of the mesh: keep it at mode 0600.
# Exactly one key is "current", the others are "accepted"; docs/keys.md says how to change them on a live mesh.
"""


class KeyState(Enum):
    """What a node does with a key."""

    CURRENT = "current"
    ACCEPTED = "accepted"


@dataclass(frozen=True)
class CurveKeys:
    """A CURVE key pair in Z85 (RFC of ZeroMQ 32), as libzmq takes it."""

    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class MeshKey:
    """One key of the mesh. What leaves the process is derived from it by HKDF (RFC 5869), never the key itself."""

    secret: bytes = field(repr=False)
    state: KeyState = KeyState.ACCEPTED

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that name this key in commands, logs and mDNS; says nothing about the key."""
        return self._derive(b"fingerprint")[:8].hex()

    @cached_property
    def listener(self) -> CurveKeys:
        """The pair of every listener of the mesh, which a dialler therefore knows beforehand."""
        return _curve(self._derive(b"curve listener"))

    @cached_property
    def dialler(self) -> CurveKeys:
        """The pair of every dialler; not the listeners', so that neither side can be played back as the other."""
        return _curve(self._derive(b"curve dialler"))

    def session_ids(self, mesh: str) -> tuple[bytes, bytes]:
        """Return two keys for the ids of one mesh's sessions: what seals them, and what veils them. Secrets."""
        name = mesh.encode()
        return self._derive(b"session id seal " + name), self._derive(b"session id veil " + name)

    @cached_property
    def tier(self) -> bytes:
        """What seals sessions that leave memory; a secret."""
        return self._derive(b"tier")

    def _derive(self, purpose: bytes) -> bytes:
        return HKDF(SHA256(), KEY_BYTES, salt=b"meshcache/1", info=purpose).derive(self.secret)


@dataclass(frozen=True)
class Keyring:
    """The keys of one mesh, newest first; exactly one is current. Changes give a new keyring."""

    keys: tuple[MeshKey, ...]

    def __post_init__(self) -> None:
        if [key.state for key in self.keys].count(KeyState.CURRENT) != 1:
            raise KeyringError('a keyring has exactly one key with state = "current"')
        if len(self.keys) > KEYS_MAX:
            raise KeyringError(f"a keyring holds at most {KEYS_MAX} keys; retire one first")
        if len({key.secret for key in self.keys}) < len(self.keys):
            raise KeyringError("a keyring holds each key once")

    @classmethod
    def new(cls) -> Keyring:
        """Return a keyring with one fresh random key, which is current."""
        return cls((MeshKey(secrets.token_bytes(KEY_BYTES), KeyState.CURRENT),))

    @property
    def current(self) -> MeshKey:
        """The key this node's listener uses."""
        return next(key for key in self.keys if key.state is KeyState.CURRENT)

    @property
    def in_order(self) -> tuple[MeshKey, ...]:
        """The keys in the order in which a dialler tries them: the current one first."""
        return (self.current, *(key for key in self.keys if key.state is not KeyState.CURRENT))

    @property
    def fingerprints(self) -> tuple[str, ...]:
        return tuple(key.fingerprint for key in self.in_order)

    @property
    def awaiting(self) -> tuple[MeshKey, ...]:
        """Accepted keys that were added after the current one: step one was done for them, and step two wasn't."""
        return self.keys[: self.keys.index(self.current)]

    @property
    def outgoing(self) -> tuple[MeshKey, ...]:
        """Accepted keys that were added before the current one: what step three is for."""
        return self.keys[self.keys.index(self.current) + 1 :]

    def add(self, secret: bytes | None = None) -> Keyring:
        """Return a keyring that accepts one more key: the given one, or a fresh random one. Step one of a rotation.

        Raises KeyringError for a key that can't be a mesh key, that is here already, or when the keyring is full.
        """
        fresh = secrets.token_bytes(KEY_BYTES) if secret is None else _checked(secret)
        return Keyring((MeshKey(fresh), *self.keys))

    def add_from(self, other: Keyring) -> Keyring:
        """Return a keyring that accepts every key of another one too: step one on the nodes that come after the first.

        The keyring itself when it has them all. A key that is older than one that both have stays older, or an old copy
        could bring back as the newest what was retired here. Raises KeyringError when it would be too full.
        """
        known = {key.secret for key in self.keys}
        newer: list[MeshKey] = []
        older: list[MeshKey] = []
        place = newer
        for key in other.keys:
            if key.secret in known:
                place = older
            else:
                place.append(_in_state(key, current=False))
        return Keyring((*newer, *self.keys, *older)) if newer or older else self

    def promote(self, fingerprint: str | None = None) -> Keyring:
        """Return a keyring that listens with an accepted key; the one before stays accepted. Step two.

        Without a fingerprint it is the newest of those `awaiting`, and the keyring itself when there is none but the
        step was done before. Raises KeyringError when there is no such key.
        """
        if fingerprint is None and not self.awaiting:
            if not self.outgoing:
                raise KeyringError("there is no key beside the current one; add one first")
            return self
        if fingerprint == self.current.fingerprint:
            return self
        chosen = self.awaiting[0] if fingerprint is None else self._accepted(fingerprint)
        return Keyring(tuple(_in_state(key, current=key is chosen) for key in self.keys))

    def retire(self, fingerprint: str | None = None) -> Keyring:
        """Return a keyring without a key; connections made with it end. Step three.

        Without a fingerprint it is the oldest of those `outgoing`; the keyring itself when there is none, or no key
        with that fingerprint. Raises KeyringError when it is the current one: promote another first.
        """
        if fingerprint is None and not self.outgoing:
            return self
        if fingerprint is not None and is_fingerprint(fingerprint) and fingerprint not in self.fingerprints:
            return self
        chosen = self.outgoing[-1] if fingerprint is None else self._accepted(fingerprint)
        return Keyring(tuple(key for key in self.keys if key is not chosen))

    def to_toml(self) -> str:
        """Return the text of a key file; holds secrets."""
        return _HEADER + "".join(map(_entry, self.keys))

    @classmethod
    def from_toml(cls, text: str) -> Keyring:
        """Read the text of a key file; says what is wrong without repeating any of it. Raises KeyringError."""
        try:
            plain = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            raise KeyringError("it is not TOML; `meshcache key new` makes a key file") from None
        entries = plain.get("key")
        if set(plain) != {"key"} or not isinstance(entries, list) or not entries:
            raise KeyringError('it must hold [[key]] entries and nothing else; "meshcache key new" makes a key file')
        return cls(tuple(_parse(number, entry) for number, entry in enumerate(entries, 1)))

    def _accepted(self, fingerprint: str) -> MeshKey:
        if fingerprint == self.current.fingerprint:
            raise KeyringError(f"key {fingerprint} is the current one; promote another first")
        for key in self.keys:
            if key.fingerprint == fingerprint:
                return key
        raise KeyringError(f"there is no key {fingerprint}; there are {', '.join(self.fingerprints)}")


def is_fingerprint(text: str) -> bool:
    """Return whether it has the form of one."""
    return len(text) == 16 and not set(text) - set("0123456789abcdef")


def decode_secret(text: str) -> bytes:
    """Return a key from its base64 form, checked to be one that nobody can guess.
    Raises KeyringError, never with the key.
    """
    try:
        return _checked(base64.b64decode(text.strip(), validate=True))
    except (binascii.Error, ValueError):
        raise KeyringError("a key is base64") from None


def encode_secret(key: MeshKey) -> str:
    """Return the base64 form of a key, to carry it to another node's `key add`; a secret."""
    return base64.b64encode(key.secret).decode()


def _parse(number: int, entry: object) -> MeshKey:
    if not isinstance(entry, dict) or set(entry) != {"state", "secret"}:
        raise KeyringError(f"key {number}: it must have state and secret and nothing else")
    if entry["state"] not in ("current", "accepted"):
        raise KeyringError(f'key {number}: state must be "current" or "accepted"')
    if not isinstance(entry["secret"], str):
        raise KeyringError(f"key {number}: secret must be a string of base64")
    try:
        return MeshKey(decode_secret(entry["secret"]), KeyState(entry["state"]))
    except KeyringError as error:
        raise KeyringError(f"key {number}: {error}") from None


def _entry(key: MeshKey) -> str:
    lines = (f"\n# {key.fingerprint}", "[[key]]", f'state = "{key.state.value}"', f'secret = "{encode_secret(key)}"')
    return "\n".join(lines) + "\n"


def _in_state(key: MeshKey, *, current: bool) -> MeshKey:
    return replace(key, state=KeyState.CURRENT if current else KeyState.ACCEPTED)


def _checked(secret: bytes) -> bytes:
    if len(secret) != KEY_BYTES:
        raise KeyringError(f"a key has {KEY_BYTES} bytes, this one has {len(secret)}")
    if not any(secret):
        raise KeyringError("the key is all zeros")
    if len(set(secret)) < DISTINCT_BYTES_MIN:
        raise KeyringError("the key repeats itself and could be guessed; use `meshcache key new`")
    if _is_text(secret):
        raise KeyringError("the key is text and could be guessed; use `meshcache key new`")
    return secret


def _is_text(secret: Iterable[int]) -> bool:
    """Return whether all bytes are printable ASCII, as 32 random bytes are once in 10^13."""
    return all(32 <= byte < 127 for byte in secret)


def _curve(secret: bytes) -> CurveKeys:
    encoded = z85.encode(secret)
    return CurveKeys(zmq.curve_public(encoded), encoded)
