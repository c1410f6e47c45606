"""Tells addresses whose clients have spoken from those that may be a balancer's or a scanner's: they say nothing.

Sessions of what comes from an address that hasn't spoken yet, or that is known for connections which end right after
their handshake, are held back until the client shows to be one (`connection`). So neither the first check of a balancer
nor a scan from a thousand addresses leaves anything here or at peers. A connection costs a look-up and no more.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from .service import Service

if TYPE_CHECKING:
    from ..tls.streams import AnyStream

ADDRESSES_MAX = 4096
"""Balancers come by the handful; a client that hangs up early is no harm here."""

REMEMBERED_S = 600.0
"""Checks come every few seconds, every minute at most."""

SPOKEN_MAX = 16_384
"""About 2 MiB. Of one that is forgotten the next connection is held back until its first byte, and known again."""


class SilentAddresses:
    """Remembers addresses from which nothing but silence came, and those that spoke, at one server."""

    __slots__ = ("_seen", "_spoken")

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._spoken: dict[str, None] = {}

    def doubt(self, host: str) -> Doubt | None:
        """Return what a connection from there is held back with; None where it is a client's."""
        return None if self.known(host) else Doubt(self, host)

    def known(self, host: str) -> bool:
        """Whether a connection from there is a client's, for all that is known: `doubt` would return None."""
        return host in self._spoken and host not in self._seen

    def spoke(self, host: str) -> None:
        """A client from there has said something, or stayed."""
        self._spoken[host] = None
        if len(self._spoken) > SPOKEN_MAX:
            del self._spoken[next(iter(self._spoken))]

    def note(self, host: str, now: float) -> Doubt:
        """A connection from there ended without a byte after its handshake; return what to say so of it with."""
        self._seen[host] = now
        self._seen.move_to_end(host)
        if len(self._seen) > ADDRESSES_MAX:
            self._seen.popitem(last=False)
        return Doubt(self, host)

    def expire(self, now: float) -> None:
        """Forget addresses of which nothing like that was seen for long."""
        while self._seen and now - next(iter(self._seen.values())) > REMEMBERED_S:
            self._seen.popitem(last=False)


class Doubt:
    """Holds one connection back until it shows to be a client's: by its first byte or its close_notify, by staying, or
    by taking an answer that ends the connection (protocols in which the server alone speaks).
    """

    __slots__ = ("_host", "_silent", "answered")

    def __init__(self, silent: SilentAddresses, host: str) -> None:
        self._silent = silent
        self._host = host
        self.answered = False

    def note_answer(self) -> None:
        """Note that the server has answered before the client said anything."""
        self.answered = True

    def handshake(self, service: Service, stream: AnyStream, data: bytes) -> bool:
        """As `TlsStream.handshake`, and what it makes is held back."""
        with service.mesh.withheld.hold(service.vip):
            return stream.handshake(data)

    def dispelled(self, service: Service, stream: AnyStream) -> None:
        """It is a client's: publish what it made."""
        self._silent.spoke(self._host)
        service.mesh.withheld.keep(service.vip, stream.handle)

    def confirmed(self, service: Service, stream: AnyStream) -> None:
        """It never will be: forget what it made."""
        if not stream.resumed_its_own:
            service.mesh.withheld.forget(service.vip, stream.handle)
