"""Counts the contexts that were left without the mesh because a service mattered more, and says each reason once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from meshcache.errors import MeshcacheError
from meshcache.runtime.tracing import shown

log = logging.getLogger("meshcache.mesh")


class LeftOut:
    """Counts of contexts that were left without the mesh, by reason: the state of a node that isn't running, or the
    error's kind.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def counts(self) -> dict[str, int]:
        """Return the counts by reason."""
        return dict(self._counts)

    @contextmanager
    def unless(self, required: bool, vip: str, reason: str = "") -> Iterator[None]:
        """Return a context manager that lets an error of its body out if it is `required`; else it counts it, logs the
        first of its kind, and goes on.
        """
        try:
            yield
        except Exception as error:
            if required:
                raise
            reason = reason or type(error).__name__
            if reason not in self._counts:
                self.say(vip, error)
            self.count(reason)

    def count(self, reason: str) -> None:
        self._counts[reason] += 1

    def say(self, vip: str | None, error: Exception) -> None:
        what = str(error) if isinstance(error, MeshcacheError) else shown(error)
        what = what.removeprefix(f"VIP {vip}: ")
        log.error("VIP %s: a context goes on without the mesh (counted; not logged again): %s", vip or "?", what)
