"""How long the pump sleeps, and how long messages lie unread. `compiled_sleep` does so in C, and files meanwhile."""

from __future__ import annotations

import math
import os
import select
from collections.abc import Callable
from contextlib import suppress

from meshcache.core.mesh import MeshCore
from meshcache.edges import native
from meshcache.edges.transport import Transport

LIE_S_MAX = 0.008
"""What is collected for no longer than this is sent, and what has come meanwhile read, in one step: on a server whose
own thread is busy each wake-up of the pump's costs both. As long as a busy node collects by default."""

_FINE_S = 0.001
"""poll(2) counts whole milliseconds, and the core collects for less than one."""


class PumpSleep:
    """The pump's sleep where Python reads. `resting` and `answer_waits` may be asked on any thread.

    After reading some, messages wake nobody for as long as the core allows, if that has brought more of them lately:
    they often come one at a time and all the time, and a step costs the same for one as for ten. A handshake that
    misses reads what lies here. When that time is over without anything having come there is no step either.
    """

    def __init__(self, core: MeshCore, transport: Transport, clock: Callable[[], float], wakeup: int) -> None:
        self._core = core
        self._transport = transport
        self._clock = clock
        self._wakeup = wakeup
        self._on_wakeup, self._on_anything = native.poll(), native.poll()
        for poller in (self._on_wakeup, self._on_anything):
            poller.register(wakeup, select.POLLIN)
        self._rests = True
        self._read_at = -math.inf
        self._answers = False
        self.resting = False
        """Whether what comes lies unread."""

    def start(self) -> None:
        """Hear of messages from now on."""
        self._on_anything.register(self._transport.fileno(), select.POLLIN)

    def answer_waits(self) -> bool:
        """Note that something is here that no descriptor tells of; return whether the pump has to be woken for it."""
        self._answers = True  # before the look: who rests ends that, and then looks here
        return not self.resting

    def plan(self, received: int, now: float, collected_until: float) -> float:
        """Return until when messages may lie after so many were read. While they come further apart than that there is
        no rest, but for what is collected soon: then they are read in the step that sends it. Call it with the core's
        lock held, which says whether anybody waits for one.
        """
        rest_s = self._core.rest_s(received) if received else 0.0
        if received:
            self._rests = self._rests or now - self._read_at < rest_s
            self._read_at = now
        soon = collected_until - now <= LIE_S_MAX and not self._core.pull_serving.hurries
        until = max(now + rest_s if self._rests else now, collected_until if soon else now)
        self.resting = until - now >= _FINE_S and not self._core.awaiting
        self._answers = False
        return until

    def skip(self) -> None:
        """Don't rest, though it was planned: something is to be read at once."""
        self.resting = False

    def sleep(self, lie_until: float, deadline: float, whole_at: float) -> tuple[bool, int]:
        """Sleep until a message may be read, the pump is woken, or `deadline`. Return whether there may be one, and
        what the eventfd said."""
        ready: set[int] | None = None
        if self.resting:
            ready = self._wait(self._on_wakeup, min(lie_until, deadline), roughly=min(lie_until, deadline) < whole_at)
            if lie_until < deadline:
                self._rests = bool(ready or self._on_anything.poll(0))
            self.resting = False
        if not ready and not self._answers:
            ready = self._wait(self._on_anything, deadline, roughly=deadline < whole_at)
        woken = 0
        if ready and self._wakeup in ready:
            with suppress(BlockingIOError):
                woken = os.eventfd_read(self._wakeup)
        return ready is None or self._transport.fileno() in ready, woken

    def _wait(self, poller: select.poll, until: float, *, roughly: bool = False) -> set[int] | None:
        """Until a descriptor is readable, or that moment; with `roughly` up to 1 ms later, and woken once for it.
        Return those that are, or None: that moment has passed, and nobody looked."""
        polled = None
        while (remaining := until - self._clock()) > 0:
            if polled is not None and remaining < _FINE_S:
                native.sleep(remaining)  # what arrives meanwhile is read by a handshake that misses it, or in a moment
                break
            ready = poller.poll(math.ceil(remaining * 1000) if roughly else math.floor(remaining * 1000))
            if ready:
                return {descriptor for descriptor, _ in ready}
            polled = set[int]()
        return polled
