"""Accepts connections and lets their handshakes go on without an object of Python's: the use of `lines.h`, on one loop.

A connection that shakes hands and goes is never told of here, but as a handshake that is counted. Any other is handed
over: when it comes, where something has to be known before TLS or its address is in doubt; else when its client speaks,
its handshake pauses or fails, or nothing is heard from it for a moment. Without the compiled module there is no
acceptor, and the loop's own servers make each connection what it is here after that.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ..faults import Faults
from ..limits import HOLD_S
from .silent_addresses import SilentAddresses

if TYPE_CHECKING:
    from types import ModuleType

    from .._steps import Line, ListeningSocket
    from ..tls.streams import AnyStream
    from .routes import Routes

    Adopt = Callable[[Line, AnyStream | None, int, Any], None]

SOME_ARE_SILENT, NO_DESCRIPTOR, UNWATCHED = 1, 2, 4
"""What a step may leave to be seen to, as `lines.h` says."""

AGAIN_S = 1.0
"""Until connections are accepted again for which there was no descriptor; who comes waits in the kernel's queue."""

NEVER = -math.inf


class Acceptor:
    """Accepts for a connection table. Belongs to the loop that it is made on."""

    def __init__(self, compiled: ModuleType, connections_max: int, silent: SilentAddresses, faults: Faults) -> None:
        self._compiled = compiled
        self._silent = silent
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self._lines = compiled.Acceptor(self._loop.call_soon)
        self._watched: dict[socket.socket, ListeningSocket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        self.limit(connections_max)
        self._loop.add_reader(self._lines.fileno(), self._step)

    @property
    def quiet(self) -> int:
        """How many connections the table doesn't know yet."""
        return int(self._lines.quiet)

    @property
    def shaking(self) -> int:
        """How many of those have begun a handshake that isn't over."""
        return int(self._lines.shaking)

    def limit(self, connections_max: int) -> None:
        """Let so many connections be open before the table is asked."""
        self._lines.limit = connections_max

    def serve(self, listening: socket.socket, routes: Routes, adopt: Adopt) -> Callable[[], None]:
        """Accept from this socket, for these routes from now on; return what ends that.

        `adopt` makes a connection of a line, what the acceptor knows of its TLS, and how it comes (`adopted.How`).
        """
        listening.setblocking(False)
        if listening.family in (socket.AF_INET, socket.AF_INET6):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it (Linux)
        self._leave(listening)
        watched = self._watched[listening] = self._compiled_of(listening.fileno(), routes, adopt)
        if self._again is None:
            self._lines.watch(watched)
        return partial(self._leave, listening)

    def hand_over(self) -> None:
        """Make every connection one of the table's."""
        self._lines.hand_over(math.inf, math.inf)

    def expire(self, now: float) -> None:
        """Make those the table's whose handshakes take too long."""
        self._lines.hand_over(now, NEVER)

    def close(self) -> None:
        """Accept no more, and end every connection."""
        for listening in tuple(self._watched):
            self._leave(listening)
        for timer in (self._timer, self._again):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._lines.fileno())
        self._lines.close()

    def _leave(self, listening: socket.socket) -> None:
        watched = self._watched.pop(listening, None)
        if watched is not None:
            self._lines.unwatch(watched)

    def _compiled_of(self, descriptor: int, routes: Routes, adopt: Adopt) -> ListeningSocket:
        service = routes.only
        if service is None or routes.proxies or not isinstance(service.make_stream, self._compiled.Maker):
            return cast("ListeningSocket", self._compiled.ListeningSocket(descriptor, adopt))
        watched = self._compiled.ListeningSocket(
            descriptor,
            adopt,
            maker=service.make_stream,
            known=self._silent.known,
            done=service.handshake_done,
            timeout_s=service.handshake_timeout_s,
            at_once=service.starts_at_once,
        )
        return cast("ListeningSocket", watched)

    def _step(self) -> None:
        if left := self._lines.step():
            self._see_to(left)

    def _see_to(self, left: int) -> None:
        if left & SOME_ARE_SILENT and self._timer is None:
            self._timer = self._loop.call_later(HOLD_S, self._look)
        if left & UNWATCHED:
            self._faults.count("no memory to watch a connection with")
        if left & NO_DESCRIPTOR and self._again is None:
            self._faults.count("no descriptor left to accept with")
            for watched in self._watched.values():
                self._lines.unwatch(watched)
            self._again = self._loop.call_later(AGAIN_S, self._go_on)

    def _go_on(self) -> None:
        self._again = None
        try:
            for watched in self._watched.values():
                self._lines.watch(watched)
        except OSError:  # no memory for it: one that is left out would be deaf for good
            self._faults.count("no memory to accept with")
            self._again = self._loop.call_later(AGAIN_S, self._go_on)

    def _look(self) -> None:
        """Make those the table's who have been silent for `HOLD_S`."""
        now = self._loop.time()
        since = self._lines.hand_over(NEVER, now - HOLD_S)
        self._timer = None
        if since:
            self._timer = self._loop.call_later(max(since + HOLD_S - now, HOLD_S / 10), self._look)
