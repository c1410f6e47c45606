"""Tiers of tests, good and bad; some are named in configurations as ``tests.tiers.tiers:Name``."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from meshcache.hooks import Tier, TierEntry


class Kept(Tier):
    """A dict that outlives the node that uses it; patient, since a busy machine is no fault of a tier's."""

    name = "kept"
    budget_s = 30.0
    everything = True
    private = True

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.lasts: dict[bytes, float] = {}
        self.gets = 0
        self.closed = 0
        self.broken = False

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        self.gets += 1
        self._breaks()
        return {key: self.kept[key] for key in keys if key in self.kept}

    def put(self, entries: Sequence[TierEntry]) -> None:
        self._breaks()
        self.kept |= {entry.key: entry.value for entry in entries}
        self.lasts |= {entry.key: entry.lasts_s for entry in entries}

    def remove(self, keys: Sequence[bytes]) -> None:
        self._breaks()
        for key in keys:
            self.kept.pop(key, None)

    def newest(self, entries_max: int) -> Iterator[tuple[bytes, bytes]]:
        yield from list(self.kept.items())[-entries_max:]

    def figures(self) -> Mapping[str, int]:
        return {"entries": len(self.kept)}

    def close(self) -> None:
        self.closed += 1

    def _breaks(self) -> None:
        if self.broken:
            raise ConnectionError("it is broken, says a secret")


class Evicted(Kept):
    """Gets what memory evicts, and may be written to by others."""

    name = "evicted"
    everything = False
    private = False


class Hangs(Kept):
    """Answers when it is let."""

    name = "hangs"
    budget_s = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()
        self.asked_at = 0.0

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        if not self.may_answer.is_set():
            self.asked_at = time.monotonic()
        self.may_answer.wait(60)
        return super().get(keys)

    def is_late(self) -> bool:
        """Whether it has been asked, doesn't answer, and had its time."""
        return not self.may_answer.is_set() and 0 < self.asked_at < time.monotonic() - self.budget_s


class Coroutines(Kept):
    """All of it by coroutines."""

    name = "coroutines"

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    async def open(self) -> None:  # type: ignore[override]
        self.threads.add(threading.get_ident())

    async def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:  # type: ignore[override]
        self.threads.add(threading.get_ident())
        return super().get(keys)

    async def put(self, entries: Sequence[TierEntry]) -> None:  # type: ignore[override]
        self.threads.add(threading.get_ident())
        super().put(entries)

    async def remove(self, keys: Sequence[bytes]) -> None:  # type: ignore[override]
        self.threads.add(threading.get_ident())
        super().remove(keys)


class BreaksOff(Kept):
    """Can't be read to its end, so many times."""

    name = "breaks_off"

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.reads = 0

    def newest(self, entries_max: int) -> Iterator[tuple[bytes, bytes]]:
        self.reads += 1
        rows = list(super().newest(entries_max))
        yield from rows[: len(rows) // 2] if self.reads <= self.times else rows
        if self.reads <= self.times:
            raise OSError("input/output error")


class Full(Kept):
    """Has no room while it is full."""

    name = "full"
    full = False

    def put(self, entries: Sequence[TierEntry]) -> None:
        if self.full:
            raise OSError("no space left")
        super().put(entries)


class OpensLater(Kept):
    """Can be had at the second try."""

    name = "opens_later"

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0

    def open(self) -> None:
        self.tries += 1
        if self.tries < 2:
            raise ConnectionRefusedError("not yet")
