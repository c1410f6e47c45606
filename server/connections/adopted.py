"""A connection that an acceptor began: goes on from where that has come to, as if it had been here from the start."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ..tls.stream import StreamError
from .connection import ClientConnection
from .pausing import wait
from .preface import STRANGER
from .proxy_header import looks_like_one
from .stage import HANDSHAKE, OPEN

if TYPE_CHECKING:
    from .._steps import Line
    from ..tls.streams import AnyStream
    from .routes import Routes
    from .table import ConnectionTable


class How(IntEnum):
    """Where a connection has come to, or why it is given over; `lines.h` has the same."""

    BORN = 0
    """It has just come."""
    SHAKING = 1
    """In the middle of its handshake, which may be paused."""
    OPEN = 2
    """Its handshake is over and counted, and what comes with it are the first bytes; none are for a silent client."""
    REFUSED = 3
    """An exception ended it, which comes with what the client had sent."""
    ENDED = 4
    """The client has sent FIN."""
    RESET = 5
    """It is broken, and will be told to be lost."""


class AdoptedConnection(ClientConnection):
    """Has a line of the acceptor's for its transport."""

    __slots__ = ()

    def adopt(self, line: Line, stream: AnyStream | None, how: int, what: Any) -> None:
        """Be the protocol of this line. `what` is said at `How`."""
        line.set_protocol(self)
        if stream is None:
            self.connection_made(line)  # type: ignore[arg-type]  # a transport in all that is asked of it here
            return
        self.transport = line  # type: ignore[assignment]
        self._stream = stream
        self._spoke = line.spoke
        self._stage = OPEN if stream.established else HANDSHAKE
        self.deadline = line.deadline + self._table.interval_s
        if self._stage is OPEN:
            self.touch()
        self._table.take(self)
        try:
            self._go_on(line, stream, how, what)
        except StreamError as error:
            self._refuse(f"tls: {error}")
        except Exception as error:  # noqa: BLE001  # as in `data_received`
            self._table.faults.bug("receiving", error)
            line.abort()

    def _go_on(self, line: Line, stream: AnyStream, how: int, what: Any) -> None:
        if how == How.OPEN:
            if what is not None and stream.leaves_tickets:
                self._table.held.hold(self)
            self._open(what or b"")
        elif how == How.SHAKING and stream.paused:
            wait(self, self._service, stream)
        elif how == How.REFUSED:
            error, came = what
            if self._stage is HANDSHAKE and isinstance(error, StreamError) and looks_like_one(came):
                self._refuse(STRANGER)
            else:
                raise error
        elif how == How.ENDED and not self.eof_received():
            line.close()


def adopt(table: ConnectionTable, routes: Routes, line: Line, stream: AnyStream | None, how: int, what: Any) -> None:
    """Make a connection of the table's, for these routes, of what an acceptor gives over."""
    AdoptedConnection(routes, table).adopt(line, stream, how, what)
