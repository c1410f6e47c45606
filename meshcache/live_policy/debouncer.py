"""A thread that does one chore soon after it was asked to, once for however many times it was asked meanwhile, and
again while it fails.

Taking over a policy touches every context and a file, which the mesh's own thread must not wait for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from meshcache.edges import native
from meshcache.runtime.tracing import shown

STOP_S = 5.0
"""How long closing waits for the chore, which takes milliseconds where the disk is well."""

AGAIN_S = 2.0
"""How long after a failure the chore is done again: a policy that isn't taken over is one that doesn't hold."""

AGAIN_S_MAX = 60.0
"""Twice as long each time until then, unless it is asked for anew: one that fails for hours tells nothing new by it."""

TOLD_MAX = 8
"""Different failures in a row that are told; what alternates isn't told each time."""

log = logging.getLogger("meshcache.policy")


class Debouncer:
    """Does `chore` on a thread of its own after each `wake`, and after each failure."""

    def __init__(self, chore: Callable[[], None]) -> None:
        self._chore = chore
        self._woken = native.Event()
        self._closing = native.Event()
        self._thread = native.thread(self._run, "meshcache-policy")

    def start(self) -> None:
        """Wait for the first `wake`."""
        self._thread.start()

    def wake(self) -> None:
        """Do the chore soon; on any thread."""
        self._woken.set()

    def close(self) -> None:
        """Finish what was asked for and end; may be called again."""
        self._closing.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        told: set[str] = set()
        pause_s = AGAIN_S
        while not self._closing.is_set():
            if not told:
                self._woken.wait()
            self._woken.clear()
            try:
                self._chore()
            except Exception as error:  # noqa: BLE001 - the policy must be taken over yet, and later ones too
                self._tell(error, told)
                self._woken.clear()  # the chore itself may have asked
                if not self._closing.wait(AGAIN_S):
                    self._woken.wait(pause_s - AGAIN_S)
                pause_s = min(2 * pause_s, AGAIN_S_MAX)
            else:
                if told:
                    log.warning("what couldn't be taken over of a policy is in force now")
                told, pause_s = set(), AGAIN_S

    def _tell(self, error: Exception, told: set[str]) -> None:
        """Log what failed, unless that was told since it last went right, and add it to what was."""
        what = shown(error)
        if what not in told and len(told) < TOLD_MAX:
            told.add(what)
            log.error("a fault while a policy was taken over; it is tried again, please report it: %s", what)
