"""Reads libzmq's socket events and says what a CURVE handshake came to; counts what was turned away.

Touches no socket of the mesh; `authenticator` brings the events.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

import zmq

FLOOD_PER_S = 500
"""Connections a second over some seconds; a colo of 1,000 nodes that starts at once makes 1,000 altogether."""

FLOOD_REST_S = 10.0
"""How long nobody looks, and refusals are neither counted nor named, before it is tried again."""

BEHIND_S_MAX = 5.0
"""How long more may always wait of what becomes of connections. In a process whose threads take the interpreter's lock
from one another, `FLOOD_PER_S` may never be read. What waits has no other maximum, since libzmq would hold up all
messages of the mesh at one (`sockets.monitor_socket`): it takes 400 bytes a connection, 4 MB a second as fast as libzmq
turns them away."""

OPEN_MAX = 8192
"""Connections whose handshake is followed at a time; above it a refusal is counted without its address."""

_CRYPTOGRAPHIC = 0x11000001  # ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: the first box did not open with our key
_MECHANISM = 0x11000002  # ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH

LISTENER_EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_MONITOR_STOPPED
)
"""Without a failed authentication: `zap` decides that one, and knows the peer's address."""

DIALLER_EVENTS = (LISTENER_EVENTS & ~zmq.EVENT_ACCEPTED) | zmq.EVENT_HANDSHAKE_FAILED_AUTH


class Refusal(Enum):
    """Why a connection to or from somebody was not made. Counted by its value, so the values are words."""

    OTHER_KEY = "another mesh key"
    NOT_CURVE = "no CURVE"
    NOT_A_NODE = "not a mesh node"
    CLOSED = "closed during the handshake"
    """What a dialler sees of a listener with another key, but also of one that was stopped at that moment."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody was turned away, or turned us away.

    `peer` is an address, without a port if they came to us; `attempt` says which attempt of ours to connect it was.
    """

    peer: str
    inbound: bool
    refusal: Refusal
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The connection we made to this address can be used; `attempt` says which attempt of ours it was."""

    address: str
    attempt: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection we had to this address is gone; libzmq tries again by itself."""

    address: str
    attempt: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class AnswerWaits:
    """A message waits, and no descriptor will say so: sending to this address took the signal away."""

    address: str


LinkEvent = Refused | LinkUp | LinkDown | AnswerWaits


@dataclass(slots=True)
class DiallerWatch:
    """Follows one DEALER, which has one connection."""

    address: str
    attempt: int
    _up: bool = False

    def is_last(self, event: int) -> bool:
        """Return whether nothing is seen any more, this event included."""
        return event == zmq.EVENT_MONITOR_STOPPED

    def see(self, event: int, value: int) -> LinkEvent | None:
        """Return what this event means, if anything."""
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._up = True
            return LinkUp(self.address, self.attempt)
        if event == zmq.EVENT_DISCONNECTED:
            was_up, self._up = self._up, False
            return LinkDown(self.address, self.attempt) if was_up else None
        refusal = _refusal(event, value)
        return Refused(self.address, inbound=False, refusal=refusal, attempt=self.attempt) if refusal else None


@dataclass(slots=True)
class ListenerWatch:
    """Follows the connections of the ROUTER.

    A failed handshake comes with the listener's address and not the peer's. libzmq reports from one thread, and right
    after a failure reports the end of that connection with its descriptor, so the refusal is kept until then.
    """

    peer_of: Callable[[int], str]
    accepted: int = 0
    succeeded: int = 0
    over: bool = False
    """Whether what is still to be read is to be left; set once libzmq has stopped saying more."""
    behind_since: float | None = None
    """Since when more has waited whenever something was read."""
    _open: dict[int, str] = field(default_factory=dict)
    _failed: Refusal | None = None

    def is_last(self, event: int) -> bool:
        """Return whether nothing is seen any more, this event included."""
        return self.over or event == zmq.EVENT_MONITOR_STOPPED

    def note_waiting(self, more: bool, now: float) -> None:
        """Note whether more waits after what was just read."""
        self.behind_since = None if not more else now if self.behind_since is None else self.behind_since

    def see(self, event: int, value: int) -> LinkEvent | None:
        """Return what this event means, if anything."""
        if event == zmq.EVENT_ACCEPTED:
            self.accepted += 1
            if len(self._open) < OPEN_MAX:
                self._open[value] = self.peer_of(value)
        elif event == zmq.EVENT_DISCONNECTED:
            peer = self._open.pop(value, "unknown")
            failed, self._failed = self._failed, None
            return Refused(peer, inbound=True, refusal=failed) if failed else None
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.succeeded += 1
        else:
            self._failed = _refusal(event, value) or self._failed
        return None


@dataclass(slots=True)
class Flood:
    """Says when so many connections come that looking at each would cost this process more than knowing is worth.

    Accepting and turning away is libzmq's, on its own thread; what Python sees of each takes 0.1 ms of a core.
    """

    _since: float
    _accepted: int = 0

    def is_one(self, accepted: int, now: float, behind_since: float | None = None) -> bool:
        """Return whether more than `FLOOD_PER_S` a second were accepted since the last second, of all that `accepted`
        counts, or what becomes of them is read too late; `behind_since` is the watch's.
        """
        elapsed = now - self._since
        if elapsed < 1:
            return False
        rate = (accepted - self._accepted) / elapsed
        self._since, self._accepted = now, accepted
        return rate > FLOOD_PER_S or (behind_since is not None and now - behind_since > BEHIND_S_MAX)


def _refusal(event: int, value: int) -> Refusal | None:
    if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        return Refusal.OTHER_KEY
    if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        return Refusal.CLOSED
    if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return {_CRYPTOGRAPHIC: Refusal.OTHER_KEY, _MECHANISM: Refusal.NOT_CURVE}.get(value, Refusal.NOT_A_NODE)
    return None


def peer_host(descriptor: int) -> str:
    """Return the address at the other end of a connection that libzmq holds, for the log; "unknown" once it is closed.

    A copy of the descriptor is asked, so nothing of libzmq's is touched. Once that is closed, its number may be any
    file's or socket's of the process.
    """
    with suppress(OSError), _socket_of(os.dup(descriptor)) as connection:
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            return str(connection.getpeername()[0])
    return "unknown"


def _socket_of(descriptor: int) -> socket.socket:
    """Return the socket that this descriptor is, which closes it. Raises OSError, and closes it, where it is none."""
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        raise
