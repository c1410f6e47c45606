"""Says which session id context a connection gets, from the server name in its ClientHello.

A connection without a scope shares nothing: the caller gives it a context that nobody else has. What a name class is,
and what is hashed, is `core.scope`'s; this module adds the reading of RFC 6066 and a bounded memory of answers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from meshcache.core.scope import CONTEXT_BYTES, Names, name_class, session_id_context

SCOPES_MAX = 2048
"""Answers remembered for one VIP: names under a wildcard, in the spellings clients use. About 300 bytes each, and when
they are many, all are forgotten together: a client that makes up names costs others one hash a handshake, 3 us."""

SCOPES_OF_VIPS_MAX = 256
"""`Scopes` kept for `scopes_for`: one for each VIP and certificate in use, also across a renewal."""

HOST_NAME_BYTES_MAX = 255
"""RFC 1035 section 2.3.4; a longer server name shares nothing."""

EXTENSION_BYTES_MAX = 5 + HOST_NAME_BYTES_MAX
"""List length, name type, name length, one name (RFC 6066 section 3)."""

TAG_BITS = 21


class Scope(NamedTuple):
    """A session id context, and the bits of it by which a session is matched with the connection it was made on."""

    context: bytes
    tag: int


class Scopes:
    """The scopes of one VIP: a pure function of names and digest, remembered. Threads may share it."""

    __slots__ = ("_by_extension", "_digest", "_names")

    def __init__(self, names: Names, digest: bytes) -> None:
        self._names = names
        self._digest = digest
        self._by_extension: dict[bytes | None, Scope | None] = {}

    def context_for(self, server_name: str | None) -> bytes | None:
        """The 32 bytes for a connection with this SNI (None: it sent none); None: it shares nothing."""
        name = name_class(self._names, server_name)
        return None if name is None else session_id_context(self._digest, name)

    def of_extension(self, extension: bytes | None) -> Scope | None:
        """The scope for the body of a server_name extension; None shares nothing, as does a malformed body."""
        known = self._by_extension
        try:
            return known[extension]
        except KeyError:
            scope = self._scope(extension)
        if extension is None or len(extension) <= EXTENSION_BYTES_MAX:
            if len(known) >= SCOPES_MAX:
                known.clear()
            known[extension] = scope
        return scope

    def _scope(self, extension: bytes | None) -> Scope | None:
        name = None if extension is None else host_name(extension)
        if extension is not None and name is None:
            return None
        context = self.context_for(name)
        return None if context is None else Scope(context, tag_of(context))


@lru_cache(maxsize=SCOPES_OF_VIPS_MAX)
def scopes_for(names: Names, digest: bytes) -> Scopes:
    """The one `Scopes` for these settings, so that servers with a context for each connection share its memory."""
    return Scopes(names, digest)


def tag_of(context: bytes) -> int:
    """The bits of a context that a connection remembers; 0 for what isn't a context of ours in length."""
    return int.from_bytes(context[:4], "big") >> (32 - TAG_BITS) if len(context) == CONTEXT_BYTES else 0


def host_name(extension: bytes) -> str | None:
    """The one host name in the body of a server_name extension (RFC 6066 section 3), or None if it isn't well formed.

    OpenSSL itself takes exactly one name, without a zero byte; a name outside ASCII can't be in a certificate.
    """
    name = extension[5:]
    lengths = (int.from_bytes(extension[:2], "big"), int.from_bytes(extension[3:5], "big"))
    if lengths != (len(name) + 3, len(name)) or extension[2] != 0 or not 0 < len(name) <= HOST_NAME_BYTES_MAX:
        return None
    return name.decode("ascii") if name.isascii() and 0 not in name else None
