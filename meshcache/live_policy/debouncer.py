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

log = logging.getLogger("meshcache.policy")


class Keeper:
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
        told: str | None = None
        while not self._closing.is_set():
            if told is None:
                self._woken.wait()
            self._woken.clear()
            try:
                self._chore()
            except Exception as error:  # noqa: BLE001 - the policy must be taken over yet, and later ones too
                told = self._tell(error, told)
                self._closing.wait(AGAIN_S)
            else:
                if told is not None:
                    log.warning("what couldn't be taken over of a policy is in force now")
                told = None

    def _tell(self, error: Exception, told: str | None) -> str:
        """Log what failed, unless that was told the last time; returns what is told."""
        what = shown(error)
        if what != told:
            log.error("a fault while a policy was taken over; it is tried again, please report it: %s", what)
        return what
