"""Sessions that are held back for now, since their connection may be a balancer's check (see `withholding`)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

WITHHELD_MAX: Final = 4096
"""Of each VIP. Above it the oldest is forgotten: its client makes another session at its next visit."""


class Made(NamedTuple):
    """A session as the core is to be told of it."""

    id: bytes
    der: bytes
    born_at: float | None
    client_certificate: bool
    ends_at: float

    def __repr__(self) -> str:
        return "<Made>"


class Withheld:
    """The sessions of one VIP that are held back. With the pump's lock held; ``on`` while a doubtful handshake runs."""

    def __init__(self) -> None:
        self.on = False
        self._made: OrderedDict[bytes, Made] = OrderedDict()

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._made

    def __len__(self) -> int:
        return len(self._made)

    def add(self, made: Made) -> None:
        """Hold a session back."""
        self._made[made.id] = made
        if len(self._made) > WITHHELD_MAX:
            self._made.popitem(last=False)

    def take(self, session_id: bytes) -> Made | None:
        """Return what is held back under an id, and hold it back no more."""
        return self._made.pop(session_id, None)
