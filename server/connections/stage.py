"""Where a client's connection is; it never goes back."""

from __future__ import annotations

from enum import Enum, auto


class Stage(Enum):
    """Where a connection is; it never goes back."""

    PREFACE = auto()
    HANDSHAKE = auto()
    OPEN = auto()
    CLOSING = auto()
    LOST = auto()


# An enum's attributes are slow to look up, and these are looked at several times in each handshake.
PREFACE, HANDSHAKE, OPEN, CLOSING, LOST = Stage
