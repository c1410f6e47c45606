"""What a listener gives each new connection: one VIP as it is configured now. Holds no behaviour."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from OpenSSL import SSL

from ..applications.application import Application, Client
from ..tls import streams

if TYPE_CHECKING:
    from ..tls.streams import AnyStream


class HoldsBack(Protocol):
    """Holds sessions back while it is in doubt whether a client made them."""

    def hold(self, vip: str) -> AbstractContextManager[None]:
        """Hold back what the handshake in this block makes."""

    def keep(self, vip: str, connection: object) -> None:
        """It was a client's."""

    def forget(self, vip: str, connection: object) -> None:
        """It was nobody's."""


class AwaitedLookup(Protocol):
    """What a paused handshake waits for."""

    over: bool
    until: float

    def watch(self, on_answer: Callable[[], None]) -> None:
        """Have this called, on any thread, when `go_on` has something to say before ``until``."""

    def go_on(self) -> float | None:
        """Return until when to wait now, by the monotonic clock; None: the handshake may go on."""

    def cancel(self) -> None:
        """Nobody waits any more."""


class ConnectionNode(Protocol):
    """What a connection tells the node."""

    @property
    def withheld(self) -> HoldsBack:
        """For connections in doubt."""

    def paused(self, connection: object) -> AwaitedLookup | None:
        """Return what a connection's handshake waits for."""

    def handshake_counter(self, vip: str) -> Callable[[object], object]:
        """Return what counts a connection's handshake as one that ended well."""

    def handshake_failed(self, vip: str) -> None:
        """Count one that didn't."""


@dataclass(frozen=True, slots=True)
class Service:
    """One VIP's context and what answers behind it. SIGHUP makes another; connections keep the one they began with.

    ``connections_listed`` says that pyOpenSSL has to find a connection from OpenSSL's callbacks, as for ALPN.
    """

    vip: str
    context: SSL.Context
    mesh: ConnectionNode
    make_application: Callable[[Client], Application]
    handshake_timeout_s: float
    idle_timeout_s: float
    connections_listed: bool = True
    apart: SSL.Context | None = None
    """For connections whose sessions are nobody's, such as a balancer's health checks."""
    starts_at_once: bool = True
    """Whether its application has something to do before a client's first byte; else it is made with that, and a client
    without one is no matter of its."""
    make_stream: Callable[[Any], AnyStream] = field(init=False, compare=False)
    """The TLS of a new connection, given a buffer of `stream.make_scratch`."""
    make_stream_apart: Callable[[Any], AnyStream] = field(init=False, compare=False)
    handshake_done: Callable[[object], object] = field(init=False, compare=False)
    """Counts the handshake of a connection as one that ended well."""

    def __post_init__(self) -> None:
        """Look things up once that every connection needs."""
        make = streams.maker(self.context, self.connections_listed)
        apart = make if self.apart is None else streams.maker(self.apart, self.connections_listed)
        object.__setattr__(self, "make_stream", make)
        object.__setattr__(self, "make_stream_apart", apart)
        object.__setattr__(self, "handshake_done", self.mesh.handshake_counter(self.vip))
