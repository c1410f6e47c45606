"""Tells observers what happens: from a bounded queue, on a thread for each, so that nothing waits for one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from meshcache.edges import native
from meshcache.hooks import EVENTS_WAITING_MAX, Observer
from meshcache.plugins.health import Health, Tell, name_of

EVERY_S_MIN = 1.0
"""Between two looks at the counters: they are taken with the core's lock held."""

Stats = Callable[[], dict[str, Any]]


class ObserverRunner:
    """One observer."""

    def __init__(self, observer: Observer, given_name: str, tell: Tell, stats: Stats) -> None:
        self.health = Health("observer", name_of(observer, given_name), tell)
        self.hook = observer
        self._stats = stats
        self._every_s = max(observer.counters_every_s, EVERY_S_MIN)
        self._waiting: deque[dict[str, Any]] = deque()
        self._woken = native.Event()
        self._closed = False
        self._thread = native.thread(self._run, f"meshcache-hook-{self.health.name}")

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def take(self, events: list[dict[str, Any]]) -> None:
        """Queue events, oldest first; returns at once."""
        for event in events:
            if len(self._waiting) >= EVENTS_WAITING_MAX:
                self.health.fault("missed", f"{EVENTS_WAITING_MAX} events wait for it")
            else:
                self._waiting.append(event)
        self._woken.set()

    def close(self, within_s: float) -> None:
        """Tell what waits, and no more. It need not have started."""
        self._closed = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(within_s)

    def _run(self) -> None:
        due_at = time.monotonic() + self._every_s
        while True:
            self._woken.clear()
            while self._waiting:
                self._tell(self.hook.event, self._waiting.popleft())
            if self._closed:
                return
            if time.monotonic() >= due_at:
                due_at = time.monotonic() + self._every_s
                self._tell_counters()
            self._woken.wait(due_at - time.monotonic())

    def _tell_counters(self) -> None:
        try:
            stats = self._stats()
        except Exception:  # noqa: BLE001 - the node is ending: there is nothing to tell
            return
        self._tell(self.hook.counters, stats)

    def _tell(self, hook: Callable[[dict[str, Any]], None], what: dict[str, Any]) -> None:
        began_at = time.monotonic()
        self.health.count("calls")
        try:
            hook(what)
        except Exception as error:  # noqa: BLE001 - whatever a hook raises is its own fault
            self.health.fault("raised", error)
            return
        took_s = time.monotonic() - began_at
        if took_s > self.hook.budget_s:
            self.health.fault("slow", f"{hook.__name__} took {took_s:.1f} s")
        else:
            self.health.went_right()
