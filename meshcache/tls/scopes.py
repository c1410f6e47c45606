"""Says which session id context a connection gets, from the server name in its ClientHello.

A connection without a scope shares nothing: the caller gives it a context that nobody else has. What a name class is,
and what is hashed, is `core.policy.scope`'s; this module adds the reading of RFC 6066 and a bounded memory of answers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import meshcache.hot as hot
from meshcache.core.policy.scope import Names, name_class, session_id_context

if TYPE_CHECKING:
    from meshcache.hot import Answers

SCOPES_MAX = 2048
"""Answers remembered for one VIP: names under a wildcard, in the spellings clients use. About 300 bytes each, and when
they are many, all are forgotten together: a client that makes up names costs others one hash a handshake, 3 us, and
the session of a handshake that is under way just then."""

SCOPES_OF_VIPS_MAX = 256
"""`Scopes` kept for `scopes_for`: one for each VIP and certificate in use, also across a renewal."""

HOST_NAME_BYTES_MAX = 255
"""RFC 1035 section 2.3.4; a longer server name shares nothing."""

EXTENSION_BYTES_MAX = 5 + HOST_NAME_BYTES_MAX
"""List length, name type, name length, one name (RFC 6066 section 3)."""


class Scopes:
    """The scopes of one VIP: a pure function of names and digest, remembered. Threads may share it."""

    __slots__ = ("_by_extension", "_known", "answers", "digest", "names")

    def __init__(self, names: Names, digest: bytes) -> None:
        self.names = names
        self.digest = digest
        self._by_extension: dict[bytes | None, bytes | None] = {}
        self._known: set[bytes] = set()
        self.answers: Answers | None = None
        """What the compiled callbacks remember of the answers given here."""

    def compiled_answers(self) -> Answers:
        """Return where the compiled callbacks remember answers, which is one place for all contexts."""
        if self.answers is None:
            self.answers = hot.new_answers()
        return self.answers

    def context_for(self, server_name: str | None) -> bytes | None:
        """Return the 32 bytes for a connection with this SNI (None: it sent none); None: it shares nothing."""
        name = name_class(self.names, server_name)
        return None if name is None else session_id_context(self.digest, name)

    def of_extension(self, extension: bytes | None) -> bytes | None:
        """Return what `context_for` does, for the body of a server_name extension; one that isn't well formed shares
        nothing.
        """
        try:
            return self._by_extension[extension]
        except KeyError:
            return self._remember(extension)

    def gave(self, context: bytes) -> bool:
        """Return whether a connection of this VIP was given this context, as far as is remembered."""
        return context in self._known

    @property
    def remembered(self) -> int:
        """How many answers are remembered."""
        return max(len(self._by_extension), len(self._known))

    def _remember(self, extension: bytes | None) -> bytes | None:
        name = None if extension is None else host_name(extension)
        context = None if extension is not None and name is None else self.context_for(name)
        if len(self._by_extension) >= SCOPES_MAX:
            self._by_extension.clear()
            self._known.clear()
        if context is not None:
            self._known.add(context)
        if extension is None or len(extension) <= EXTENSION_BYTES_MAX:
            self._by_extension[extension] = context
        return context


@lru_cache(maxsize=SCOPES_OF_VIPS_MAX)
def scopes_for(names: Names, digest: bytes) -> Scopes:
    """Return the one `Scopes` for these settings, so that servers with a context for each connection
    share its memory.
    """
    return Scopes(names, digest)


def host_name(extension: bytes) -> str | None:
    """Return the one host name in the body of a server_name extension (RFC 6066 section 3), or None if it isn't well
    formed.

    OpenSSL itself takes exactly one name, without a zero byte; a name outside ASCII can't be in a certificate.
    """
    name = extension[5:]
    lengths = (int.from_bytes(extension[:2], "big"), int.from_bytes(extension[3:5], "big"))
    if not 0 < len(name) <= HOST_NAME_BYTES_MAX or lengths != (len(name) + 3, len(name)) or extension[2] != 0:
        return None
    return name.decode("ascii") if name.isascii() and 0 not in name else None
