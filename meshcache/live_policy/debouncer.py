"""A thread that does one chore soon after it was asked to, once for however many times it was asked meanwhile.

Taking over a policy touches every context and a file, which the mesh's own thread must not wait for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from meshcache.edges import native
from meshcache.runtime.tracing import shown

STOP_S = 5.0
"""How long closing waits for the chore, which takes milliseconds where the disk is well."""

log = logging.getLogger("meshcache.policy")


class Keeper:
    """Does `chore` on a thread of its own after each `wake`."""

    def __init__(self, chore: Callable[[], None]) -> None:
        self._chore = chore
        self._woken = native.Event()
        self._closing = False
        self._thread = native.thread(self._run, "meshcache-policy")

    def start(self) -> None:
        """Wait for the first `wake`."""
        self._thread.start()

    def wake(self) -> None:
        """Do the chore soon; on any thread."""
        self._woken.set()

    def close(self) -> None:
        """Finish what was asked for and end; may be called again."""
        self._closing = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._closing:
            self._woken.wait()
            self._woken.clear()
            try:
                self._chore()
            except Exception as error:  # noqa: BLE001 - later policies must still be taken over
                log.error("a fault while a policy was taken over; please report it: %s", shown(error))  # noqa: TRY400
