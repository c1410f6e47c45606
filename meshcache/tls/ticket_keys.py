"""The ticket keys of one VIP as handshakes use them, and what is written into each ticket beside OpenSSL's session.

A snapshot that never changes: the node replaces it when the core's ring does. Knows no OpenSSL.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from meshcache.core.values.ticket_key import NAME_BYTES
from meshcache.core.values.topology import NAME_BYTES_MAX

LINEAGE_BYTES = 8
"""What `tls.lineage` puts first into a session's application data; a ticket's own part follows."""

_HEAD = struct.Struct(">B4sQQ")
_FORM = 1
"""Of the part below; another one is from a version to come, and a full handshake."""

PREFIX_BYTES = 4
HEAD_BYTES = LINEAGE_BYTES + _HEAD.size


@dataclass(frozen=True, slots=True)
class EdgeKey:
    """One key: what OpenSSL needs of it, and until when, by the node's clock, it encrypts and opens."""

    name: bytes
    aes: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    born_at: float
    encrypts_until: float
    opens_until: float
    lifetime_s: float


@dataclass(frozen=True, slots=True)
class EdgeKeys:
    """All keys of a VIP by name, the one to encrypt with, and the limits to which the VIP holds tickets."""

    current: EdgeKey | None
    opening: Mapping[bytes, EdgeKey]
    node: str
    lifetime12_s: float
    lifetime13_s: float
    lineage_s: float

    def encrypting(self, now: float) -> EdgeKey | None:
        """Return the key to encrypt with; None: no ticket is given."""
        key = self.current
        return key if key is not None and now < key.encrypts_until else None

    def open(self, name: bytes, now: float) -> EdgeKey | None:
        """Return the key of this name, if tickets of it can still be within their lifetime."""
        key = self.opening.get(name)
        return key if key is not None and now < key.opens_until else None

    def by_prefix(self, prefix: bytes) -> EdgeKey | None:
        """Return the key that the maker of a ticket chose, by what its note has of the name."""
        return next((key for key in self.opening.values() if key.name[:PREFIX_BYTES] == prefix), None)


class Note(NamedTuple):
    """What a ticket says besides its session: which key it was made with, how old that was and how old its lineage, by
    the maker's clock, and who made it. So no two clocks need agree.
    """

    prefix: bytes
    key_age_s: float
    lineage_s: float
    node: str


def write_note(key: EdgeKey, lineage_s: float, node: str, now: float) -> bytes:
    """Return the note for a ticket that is made now with a key."""
    key_ms, lineage_ms = (max(int(seconds * 1000), 0) for seconds in (now - key.born_at, lineage_s))
    return _HEAD.pack(_FORM, key.name[:PREFIX_BYTES], key_ms, lineage_ms) + node.encode()


def read_note(appdata: bytes) -> Note | None:
    """Return the note in a session's application data; None where there is none that this version reads."""
    node = appdata[HEAD_BYTES:]
    if not 0 < len(node) <= NAME_BYTES_MAX:
        return None
    form, prefix, key_ms, lineage_ms = _HEAD.unpack_from(appdata, LINEAGE_BYTES)
    try:
        name = node.decode()
    except UnicodeDecodeError:
        return None
    return Note(prefix, key_ms / 1000, lineage_ms / 1000, name) if form == _FORM and name.isprintable() else None


assert PREFIX_BYTES <= NAME_BYTES
