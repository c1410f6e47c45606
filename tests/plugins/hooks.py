"""Hooks of tests, good and bad; some are named in configurations as ``tests.plugins.hooks:Name``."""

from __future__ import annotations

import threading
from typing import Any

from meshcache.hooks import BUDGET_S_MAX, Crossing, Discovery, Observer, Resuming, SharingPolicy, Surroundings


class Patient(SharingPolicy):
    """Has as long as may be: a busy machine is no fault of a hook's."""

    budget_s = BUDGET_S_MAX


class Refuses(Patient):
    """Refuses the gates that are named in `gates`, which may change; notes what it was asked."""

    def __init__(self, *gates: str) -> None:
        self.gates = set(gates)
        self.asked: list[tuple[str, Any]] = []

    def may_send(self, crossing: Crossing) -> bool:
        return self._says("may_send", crossing)

    def may_accept(self, crossing: Crossing) -> bool:
        return self._says("may_accept", crossing)

    def _says(self, gate: str, what: Any) -> bool:
        self.asked.append((gate, what))
        return gate not in self.gates


class AtLookups(Refuses):
    """Is asked at each lookup besides."""

    def may_resume(self, resuming: Resuming) -> bool:
        return self._says("may_resume", resuming)


class Raises(Patient):
    """Doesn't work."""

    def __init__(self) -> None:
        self.broken = True

    def may_accept(self, crossing: Crossing) -> bool:
        return self._says()

    def may_resume(self, resuming: Resuming) -> bool:
        return self._says()

    def _says(self) -> bool:
        if self.broken:
            raise RuntimeError("a secret of the hook's own")
        return True


class Stumbles(Patient):
    """Allows all, but for the next so many questions, which it has no answer to."""

    def __init__(self, *faults: Any) -> None:
        self.faults = list(faults)
        """Each an exception to raise, or something to answer that is no answer."""
        self.asked: list[Crossing] = []

    def may_accept(self, crossing: Crossing) -> bool:
        self.asked.append(crossing)
        if not self.faults:
            return True
        fault = self.faults.pop()
        if isinstance(fault, Exception):
            raise fault
        return fault  # type: ignore[no-any-return]


class Hangs(SharingPolicy):
    """Answers when it is let."""

    budget_s = 0.02

    def __init__(self) -> None:
        self.let = threading.Event()
        self.asked = 0

    def may_resume(self, resuming: Resuming) -> bool:
        self.asked += 1
        return self.let.wait(60)

    def close(self) -> None:
        self.let.set()


class Mumbles(Patient):
    """Answers, and with nothing that can be taken for a yes."""

    def may_resume(self, resuming: Resuming) -> bool:
        return "yes"  # type: ignore[return-value]


class Tells(Discovery):
    """Finds what it is told to find."""

    def __init__(self, *addresses: str, raises: int = 0) -> None:
        self.addresses = addresses
        self.raises = raises
        self.here: Surroundings | None = None
        self.runs = 0
        self.ended = threading.Event()

    def run(self, here: Surroundings) -> None:
        self.here = here
        self.runs += 1
        if self.runs <= self.raises:
            raise OSError("the directory doesn't answer")
        for address in self.addresses:
            here.found(address)
        self.ended.wait(60)

    def close(self) -> None:
        self.ended.set()


class Sees(Observer):
    """Keeps what it sees."""

    counters_every_s = 1.0

    def __init__(self, *, raises: bool = False) -> None:
        self.raises = raises
        self.events: list[dict[str, Any]] = []
        self.stats: list[dict[str, Any]] = []
        self.closed = False

    def event(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if self.raises:
            raise ValueError("no")

    def counters(self, stats: dict[str, Any]) -> None:
        self.stats.append(stats)

    def close(self) -> None:
        self.closed = True
