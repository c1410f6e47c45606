"""One place in a group of workers: the process that has it now, how that fares, and how it is told something."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

STEADY_S = 10.0
"""Whoever ran for so long is replaced at once when it ends; else it waits, twice as long each time."""

PAUSE_S, PAUSE_S_MAX = 0.5, 30.0

AGAIN_S = 30.0
"""After so long a worker is told again to take what its siblings have, where something kept it from that."""


class WorkerPlace:
    """``ready`` while its process serves, ``was_ready`` once it did; ``settings`` is the number of those that it has in
    the group, None for what it has read in the file by itself.
    """

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self.ready = self.was_ready = False
        self.settings: int | None = None
        self.pause_s = 0.0
        """For the next process to wait."""
        self._began_at = 0.0
        self._telling: asyncio.Task[None] | None = None

    @property
    def process_id(self) -> int | None:
        """None while no process has the place."""
        return None if self.process is None or self.process.returncode is not None else self.process.pid

    def begins(self) -> None:
        """A process is about to be started."""
        self.process, self.was_ready, self._began_at = None, False, time.monotonic()

    def began(self, process: asyncio.subprocess.Process) -> None:
        """This one was: it hears what is said from now on."""
        self.process = process

    def has(self, settings: int | None) -> None:
        """It has these settings now."""
        self.settings = settings

    def serves(self) -> None:
        """It takes connections from now on."""
        self.ready = self.was_ready = True

    def serves_no_more(self) -> None:
        """It takes none any more."""
        self.ready = False

    def ended(self) -> None:
        """Its process ended, or couldn't be started: see `pause_s`."""
        steady = self.was_ready and time.monotonic() - self._began_at >= STEADY_S
        self.pause_s = 0.0 if steady else min(max(2 * self.pause_s, PAUSE_S), PAUSE_S_MAX)

    def say(self, line: bytes) -> None:
        """Tell the process, if one is there to hear it."""
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError, RuntimeError):
                self.process.stdin.write(line + b"\n")

    def settle(self, settings: int, line: Callable[[], bytes]) -> None:
        """Where it serves with other settings than these, say `line` (unless it is empty), and again and again until
        this is called when it has them.
        """
        if self._telling is not None:
            self._telling.cancel()
        stale = self.ready and self.settings != settings
        self._telling = asyncio.create_task(self._repeat(line)) if stale else None

    async def _repeat(self, line: Callable[[], bytes]) -> None:
        while self.ready:
            if said := line():
                self.say(said)
            await asyncio.sleep(AGAIN_S)
