"""What the callbacks of one OpenSSL share: the attachments they serve, and a bounded memory of connections.

Holds no session and no connection, only addresses and numbers; a thread may be in any callback at any time.
"""

from __future__ import annotations

from collections.abc import MutableSet
from typing import Any, Protocol

from meshcache.core.values.session import DER_BYTES_MAX
from meshcache.tls.functions import Functions, ffi
from meshcache.tls.port import SessionPort
from meshcache.tls.scopes import Scopes

TLS12, TLS13 = 0x0303, 0x0304
KEPT_VERSIONS = (TLS12, TLS13)
"""The only versions whose sessions are kept (RFC 8996)."""

REMEMBERED_MAX = 65_536
"""Connections remembered by address, in each of two sets, until the address is used again: as many as a process has at
one time. When there are more all are forgotten, which costs counts and never a check."""

_EX_SESSION = 2
"""CRYPTO_EX_INDEX_SSL_SESSION of <openssl/crypto.h>."""


class Attached(Protocol):
    """What the callbacks read of an attachment; `contexts.Attachment` is it."""

    port: SessionPort
    scopes: Scopes
    pointer: int
    verify_mode: int
    revalidates: bool


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
    """One for each OpenSSL in the process."""

    __slots__ = ("apart", "attachments", "counted_index", "functions", "hits", "scratch", "token_index")

    def __init__(self, functions: Functions) -> None:
        self.functions = functions
        self.attachments: dict[int, Attached] = {}
        """By the address of the SSL_CTX."""
        self.hits: MutableSet[int] = set()
        """Connections that a lookup found a session for."""
        self.apart: MutableSet[int] = set()
        """Connections that share nothing, which therefore look nothing up."""
        self.scratch: list[Scratch] = []
        self.token_index = _new_index(functions)
        """ex_data of a session: its token. OpenSSL copies it into the session of a TLS 1.3 renewal."""
        self.counted_index = _new_index(functions)
        """ex_data of a session: whether the full handshake that made it was counted; copied into further tickets."""

    def take_scratch(self) -> Scratch:
        """Room for one callback, which puts it back into `scratch` when nothing went wrong."""
        try:
            return self.scratch.pop()
        except IndexError:
            return Scratch()


def _new_index(functions: Functions) -> int:
    return int(functions.CRYPTO_get_ex_new_index(_EX_SESSION, 0, *(ffi.NULL,) * 4))
