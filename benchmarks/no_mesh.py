"""Stands where the bundled server has its node, with OpenSSL's own cache or tickets and no mesh, by duck
typing.

So everything else about the server is the same on both sides of the comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from OpenSSL import SSL

from benchmarks.own_cache import use_own_cache
from meshcache import Outcome, Resumption
from meshcache.runtime.front import Front


class NoExports:
    """Of a node that has no ticket keys to give."""

    begun = True


class NothingWithheld:
    """Where what doubtful handshakes make is held back: OpenSSL's cache has it already."""

    def hold(self, vip: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the node's signature
        """Hold back nothing."""
        return nullcontext()

    def keep(self, vip: str, connection: SSL.Connection) -> None:
        """It is there."""

    def forget(self, vip: str, connection: SSL.Connection) -> None:
        """It stays there."""


class NoMesh:
    """A node that isn't one: nothing is published, nothing is looked up, nothing is counted."""

    address = "nowhere"
    bequest = None
    withheld = NothingWithheld()
    warm = True
    ticket_exports = NoExports()

    def __init__(self, name: str, colo: str, use_own: Callable[[SSL.Context], None] = use_own_cache) -> None:
        self._use_own = use_own
        self.name = name
        self.colo = colo
        self.front = Front()

    def start(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to close."""

    def attach(self, context: SSL.Context, *, vip: str, pauses: bool = False) -> SSL.Context:  # noqa: ARG002 - the node's
        """Give the context its own cache, or tickets."""
        self._use_own(context)
        return context

    def resumption(self, connection: SSL.Connection) -> Resumption:
        """What the built-in responder asks."""
        return Resumption(Outcome.LOCAL if connection.session_reused() else Outcome.FULL, self.name)

    def handshake_counter(self, vip: str) -> Callable[[object], object]:  # noqa: ARG002 - the node's signature
        """Return what doesn't count, without Python, as the node's does."""
        return id

    def handshake_failed(self, vip: str) -> None:
        """Not counted."""

    def peers(self) -> list[dict[str, Any]]:
        """None."""
        return []

    def stats(self) -> dict[str, Any]:
        """None."""
        return {}
