"""What the callbacks of one OpenSSL share: the attachments they serve, and where connections are marked.

Holds no session and no connection, only addresses and numbers; a thread may be in any callback at any time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Protocol

from meshcache.core.values.session import DER_BYTES_MAX
from meshcache.tls.functions import Functions, ffi
from meshcache.tls.names import NameMap
from meshcache.tls.port import Pending, SessionPort
from meshcache.tls.scopes import Scopes

TLS12, TLS13 = 0x0303, 0x0304
KEPT_VERSIONS = (TLS12, TLS13)
"""The only versions whose sessions are kept (RFC 8996)."""

SSL_OP_NO_TICKET = 1 << 14
"""SSL_CTX_set_options(3): in TLS 1.3 a ticket is an id then, and all else is in the cache."""


class Mode(StrEnum):
    """How a VIP's clients resume: with sessions that servers keep, with tickets that they keep themselves, or with
    ``both``: sessions in TLS 1.3, and in TLS 1.2 tickets for clients that ask for one.
    """

    SESSIONS = "sessions"
    TICKETS = "tickets"
    BOTH = "both"


NOTHING, APART, ASKED, REFUSED, APART_REFUSED, FOREIGN, HIT = 0, 1, 2, 3, 4, 5, 16
"""Marks of a connection, as hot/callbacks.h has them too: what became of the id that its client offered.

APART shares nothing, and so looks nothing up; ASKED found nothing, FOREIGN neither, under an id that no member made;
REFUSED is counted already. From HIT on the mark is the token of the session that was found. After a HelloRetryRequest a
client offers its id a second time, and one that can't prove what it offers ends in an alert: so hits and misses are
counted where the handshake ends, from its mark.
"""

PAUSE_OVER, PAUSE_PULLED = 2, 3
"""Marks of a connection whose handshake was paused once, and isn't again: what was looked for was fetched from a peer,
or it wasn't."""

_EX_SSL, _EX_SESSION = 0, 2
"""CRYPTO_EX_INDEX_SSL and CRYPTO_EX_INDEX_SSL_SESSION of <openssl/crypto.h>."""


class Attached(Protocol):
    """What the callbacks read of an attachment; `contexts.Attachment` is it."""

    port: SessionPort
    scopes: Scopes
    pointer: int
    verify_mode: int
    revalidates: bool
    mode: Mode
    pauses: bool
    names: NameMap | None


class Scratch:
    """Room for what OpenSSL returns through pointers, used by one callback at a time and kept for the next.

    There are as many as callbacks ever ran at one moment, each of DER_BYTES_MAX.
    """

    __slots__ = ("count", "cursor", "der", "size")

    def __init__(self) -> None:
        self.cursor: Any = ffi.new("char *[1]")
        self.size: Any = ffi.new("size_t[1]")
        self.count: Any = ffi.new("unsigned int[1]")
        self.der: Any = ffi.new("char[]", DER_BYTES_MAX)


class State:
    """The attachments of one OpenSSL in the process, and the indexes under which its connections are marked."""

    __slots__ = (
        "attachments",
        "counted_index",
        "functions",
        "listening_index",
        "mark_index",
        "names_seen",
        "pause_index",
        "pauses",
        "scratch",
        "token_index",
    )

    def __init__(self, functions: Functions) -> None:
        self.functions = functions
        self.attachments: dict[int, Attached] = {}
        """By the address of the SSL_CTX."""
        self.scratch: list[Scratch] = []
        self.mark_index = _new_index(functions, _EX_SSL)
        """ex_data of a connection: its mark. Nothing to bound, and nothing to forget."""
        self.pause_index = _new_index(functions, _EX_SSL)
        """ex_data of a connection: whether its handshake is or was paused."""
        self.pauses: dict[int, Pending] = {}
        """What paused handshakes wait for, by the address of the SSL."""
        self.listening_index = _new_index(functions, _EX_SSL)
        """ex_data of a connection: the address of the context with names that it came to, once one was chosen there."""
        self.names_seen = False
        """Whether a context with names was ever attached: else no hello has to look for one."""
        self.token_index = _new_index(functions, _EX_SESSION)
        """ex_data of a session: its token. OpenSSL copies it into the session of a TLS 1.3 renewal."""
        self.counted_index = _new_index(functions, _EX_SESSION)
        """ex_data of a session: whether the handshake that made it was counted; copied into further tickets."""

    def look_for_names(self) -> None:
        """Have each hello looked at for the context that its name leads to, from now on: one with names is attached."""
        self.names_seen = True

    def take_scratch(self) -> Scratch:
        """Return room for one callback, which puts it back into `scratch` when nothing went wrong."""
        try:
            return self.scratch.pop()
        except IndexError:
            return Scratch()


def _new_index(functions: Functions, of: int) -> int:
    return int(functions.CRYPTO_get_ex_new_index(of, 0, *(ffi.NULL,) * 4))
