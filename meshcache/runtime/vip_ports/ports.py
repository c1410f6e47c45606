"""The ports of all VIPs of a node together, as its core and its pump see them; empty until `AttachedVips` opens some.

Made before those two, which get it in their constructors. Decides nothing: it hands each question on to every port.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from meshcache.core.replication.publisher_fast_path import ReadyPush
from meshcache.core.values.session_id import Claim
from meshcache.runtime.vip_ports.session_ids import SessionIds
from meshcache.runtime.vip_ports.session_ports import VipPort


class Ports:
    """Implements `core.state.tls_edge.TlsEdge` and `doors.Doors`. Threads may share it."""

    def __init__(self, ids: SessionIds | None = None) -> None:
        """Without `ids` nobody reads what an id says of its maker."""
        self.ids = ids
        """By which the ids of sessions are made and read."""
        self._ports: tuple[VipPort, ...] = ()  # replaced as a whole: other threads go through it

    def __iter__(self) -> Iterator[VipPort]:
        return iter(self._ports)

    def add(self, port: VipPort) -> None:
        """Let core and pump see a port from now on."""
        self._ports = (*self._ports, port)

    def remove(self, port: VipPort) -> None:
        """Forget a port: what is in it is lost."""
        self._ports = tuple(each for each in self._ports if each is not port)

    # --- for the core

    def settle(self) -> None:
        """Take over what was made and counted at the doors. With the pump's lock held."""
        for port in self._ports:
            port.take_made()
            port.settle()

    def claim_of(self, session_id: bytes) -> Claim | None:
        """Return what an id says of its maker, if a member made it."""
        return None if self.ids is None else self.ids.read(session_id)

    def ticket_keys_changed(self) -> None:
        """Let handshakes ask for the keys. With the pump's lock held."""
        for port in self._ports:
            port.forget_ticket_keys()

    # --- for the pump

    def publish_due(self, now: float, ready: list[ReadyPush]) -> bool:
        """Publish what is due at the doors; return whether the core has something to send."""
        published = False
        for port in self._ports:
            if port.deadline() <= now:
                published = port.publish_due(ready) or published
        return published

    def collected_until(self) -> float:
        """Return when the first of the doors is to be emptied."""
        until = math.inf
        for port in self._ports:
            until = min(until, port.deadline())
        return until

    def note_unread(self, more: bool) -> None:
        """Let each door know whether there may be messages that no descriptor tells of."""
        for port in self._ports:
            port.unread(more)
