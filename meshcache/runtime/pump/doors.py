"""What the pump asks of the doors at which handshakes leave what they made, without knowing them: one typed Protocol.

`ports.Ports` implements it; `NO_DOORS` is for a pump whose core is told of each session by whoever made it.
"""

from __future__ import annotations

import math
from typing import Protocol

from meshcache.core.replication.publisher_fast_path import ReadyPush


class Doors(Protocol):
    """What waits at the doors, and until when. Called on the pump's thread, in its short steps too: quick."""

    def publish_due(self, now: float, ready: list[ReadyPush]) -> bool:
        """Hand over to the core what was collected and is due, or add it to `ready`, to be sent before anything else.

        Returns whether the core has something to send now. Called with the lock held, taken quietly.
        """

    def collected_until(self) -> float:
        """Return when `publish_due` is wanted next. Called with the lock held, before each sleep."""

    def note_unread(self, more: bool) -> None:
        """Note whether the transport may hold messages that `Pump.inbox` doesn't tell of. Called when that changes, by
        whichever thread read."""


class NoDoors:
    """Nothing is ever collected."""

    def publish_due(self, now: float, ready: list[ReadyPush]) -> bool:  # noqa: ARG002 - nothing is due
        """Return False."""
        return False

    def collected_until(self) -> float:
        """Return never."""
        return math.inf

    def note_unread(self, more: bool) -> None:
        """Nobody wants to know."""
