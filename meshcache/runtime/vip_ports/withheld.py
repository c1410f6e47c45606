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
    """The sessions of one VIP that are held back. Needs the pump's lock; ``on`` while a doubtful handshake runs."""

    def __init__(self) -> None:
        self.on = False
        self._made: OrderedDict[bytes, Made] = OrderedDict()
        self._of_handshake: list[bytes] = []
        self._together: dict[bytes, list[bytes]] = {}
        """By id, those that one handshake made: a connection knows only the last of its tickets."""

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._made

    def __len__(self) -> int:
        return len(self._made)

    def begin(self) -> None:
        """Hold back what comes now, which is of one handshake until `begin` or `end` is called."""
        self.on, self._of_handshake = True, []

    def end(self) -> None:
        self.on = False

    def forget(self) -> None:
        """Let go of all that are held back: their VIP has other terms by now."""
        self._made.clear()
        self._together.clear()

    def add(self, made: Made) -> None:
        """Hold a session back."""
        self._made[made.id] = made
        self._of_handshake.append(made.id)
        self._together[made.id] = self._of_handshake
        if len(self._made) > WITHHELD_MAX:
            self.take(next(iter(self._made)))

    def take(self, session_id: bytes) -> Made | None:
        """Return what is held back under an id, and hold it back no more."""
        self._together.pop(session_id, None)
        return self._made.pop(session_id, None)

    def take_all(self, session_id: bytes) -> list[Made]:
        """Return what is held back of the handshake that made the session of an id, and hold it back no more."""
        taken = [self.take(each) for each in self._together.get(session_id, ())]
        return [made for made in taken if made is not None]
