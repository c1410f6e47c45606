"""When a call to a tier that failed is made again: each kind of call by itself, so that one that works makes none that
fails hurry.

Calls nothing; `TierRunner` does.
"""

from __future__ import annotations

import time

from meshcache.plugins.health import REST_S_MAX, REST_S_MIN


class Rest:
    """When one kind of call may be made again: after a second, then two, a minute at most, until it goes right."""

    def __init__(self) -> None:
        self.until = 0.0
        self.failed = False
        """Whether the last call did."""
        self._pause_s = REST_S_MIN

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    def begin(self) -> None:
        """It failed."""
        self.until = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, REST_S_MAX)
        self.failed = True

    def went_right(self) -> None:
        """Be patient with it again."""
        self._pause_s, self.failed = REST_S_MIN, False
