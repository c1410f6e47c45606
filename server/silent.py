"""Remembers addresses whose connections ended right after the handshake: balancers that check whether it works.

Sessions of what comes from there are held back until the client shows to be one (`connection`). A connection costs a
look-up and no more.
"""

from __future__ import annotations

from collections import OrderedDict

ADDRESSES_MAX = 4096
"""Balancers come by the handful; a client that hangs up early is no harm here."""

REMEMBERED_S = 600.0
"""Checks come every few seconds, every minute at most."""


class SilentAddresses:
    """Of one server. The clock is the table's."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()

    def note(self, host: str, now: float) -> None:
        """A connection from there ended without a byte after its handshake."""
        self._seen[host] = now
        self._seen.move_to_end(host)
        if len(self._seen) > ADDRESSES_MAX:
            self._seen.popitem(last=False)

    def __contains__(self, host: object) -> bool:
        return host in self._seen

    def expire(self, now: float) -> None:
        """Forget addresses of which nothing like that was seen for long."""
        while self._seen and now - next(iter(self._seen.values())) > REMEMBERED_S:
            self._seen.popitem(last=False)

    def __len__(self) -> int:
        return len(self._seen)
