"""What a listener gives each new connection: one VIP as it is configured now. Holds no behaviour."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from OpenSSL import SSL

from .application import Application, Client


class Withholding(Protocol):
    """Holds sessions back while it is in doubt whether a client made them."""

    def hold(self, vip: str) -> AbstractContextManager[None]:
        """Hold back what the handshake in this block makes."""

    def keep(self, vip: str, connection: SSL.Connection) -> None:
        """It was a client's."""

    def forget(self, vip: str, connection: SSL.Connection) -> None:
        """It was nobody's."""


class PausedLookup(Protocol):
    """What a paused handshake waits for."""

    over: bool
    until: float

    def watch(self, on_answer: Callable[[], None]) -> None:
        """Have this called, on any thread, when `go_on` has something to say before ``until``."""

    def go_on(self) -> float | None:
        """Return until when to wait now, by the monotonic clock; None: the handshake may go on."""

    def cancel(self) -> None:
        """Nobody waits any more."""


class Mesh(Protocol):
    """What a connection tells the node."""

    @property
    def withheld(self) -> Withholding:
        """For connections in doubt."""

    def paused(self, connection: SSL.Connection) -> PausedLookup | None:
        """Return what a connection's handshake waits for."""

    def handshake_done(self, vip: str, connection: SSL.Connection) -> None:
        """Count a handshake that ended well."""

    def handshake_failed(self, vip: str) -> None:
        """Count one that didn't."""


@dataclass(frozen=True, slots=True)
class Service:
    """One VIP's context and what answers behind it. SIGHUP makes another; connections keep the one they began with.

    ``connections_listed`` says that pyOpenSSL has to find a connection from OpenSSL's callbacks, as for ALPN.
    """

    vip: str
    context: SSL.Context
    mesh: Mesh
    make_application: Callable[[Client], Application]
    handshake_timeout_s: float
    idle_timeout_s: float
    connections_listed: bool = True
    apart: SSL.Context | None = None
    """For connections whose sessions are nobody's, such as a balancer's health checks."""
