"""Reads all that a tier has, a batch at a time, and again from its beginning where the tier breaks off.

Knows neither sessions nor tiers; what is done with the batches is up to whoever reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from meshcache.hooks import TIER_BATCH_MAX

TRIES_MAX = 3
"""How often a tier is read from its beginning when it raises in the midst of that; the runner pauses after each. What
lies behind a page that can't be read isn't lost: it is found when its client comes."""

Rows = list[tuple[bytes, bytes]]


class Retry:
    """How often one kind of reading of one tier has failed since it last went right or was given up."""

    def __init__(self) -> None:
        self._failed = 0

    def of(self, errand: Iterator[None], again: Callable[[], object]) -> Iterator[None]:
        """Do an errand. Where it raises, call `again`, which is to see to another, but for the last of `TRIES_MAX`.
        What is read later, for a reason of its own, has as many tries again.
        """
        try:
            yield from errand
        except Exception:
            self._failed += 1
            if self._failed < TRIES_MAX:
                again()
            else:
                self._failed = 0
            raise
        self._failed = 0


def in_batches(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[Rows]:
    """Yield these keys and values in batches; also those that came before `rows` raised."""
    batch: Rows = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == TIER_BATCH_MAX:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
