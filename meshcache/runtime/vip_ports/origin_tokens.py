"""Packs where a session came from into the one number that OpenSSL carries for us, and unpacks it.

A number in the session object needs no table of connections, can't leak and follows a TLS 1.3 renewal by itself. Tokens
mean something in this process only; they never travel.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshcache.core.mesh import HandshakeResult
from meshcache.core.values.session import Outcome
from meshcache.edges import native

ORIGINS_MAX = (1 << 16) - 1
"""Nodes that can be told apart as origins; four times those that a node remembers (`core.values.limits`). Later ones
are shown as nobody's. The names are kept as long as the process: at most 64 bytes each, 4 MiB."""

_OUTCOMES = (Outcome.FULL, Outcome.LOCAL, Outcome.REMOTE, Outcome.PULLED)
_RESULTS: tuple[HandshakeResult, ...] = ("full", "local", "remote", "pulled")
_ORIGIN_SHIFT, _ORIGIN_MASK, _BIRTH_SHIFT = 2, 0xFFFF, 18
_BIRTH_ZERO_S = (1 << 40) / 1000
"""Births are milliseconds since this long before the process began: 34 years both ways. They are rounded up, since the
cache rounds them down to its seconds: were both down, each renewal would make its lineage a second older."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """How a connection's handshake ended, and who made the session that it resumed (None after a full handshake)."""

    outcome: Outcome
    origin: str | None
    server_name: str | None = None
    """What the client asked for in this connection's ClientHello, in lower case and without a final dot."""
    lineage: str | None = None
    """Equal for all connections whose sessions go back to one full handshake, on whatever node, and different for all
    others. No secret: it helps nobody to resume. None where the session has none: the handshake isn't over or made no
    session, or a node from before 0.2 made it.
    """


class Tokens:
    """The numbers that one node has OpenSSL carry, and whose sessions they stand for. Threads may share it."""

    def __init__(self, now: float) -> None:
        self.zero = now - _BIRTH_ZERO_S
        """The moment that births in tokens count from."""
        self._origins: list[str | None] = [None]
        self._index: dict[str, int] = {}
        self._adding = native.Lock()

    def pack(self, outcome: Outcome, origin: str, born_at: float) -> int:
        """Return a number of less than 64 bits, never 0 for a session that resumes."""
        birth = int((born_at - self.zero) * 1000) + 1
        return max(birth, 0) << _BIRTH_SHIFT | self.stream_bits(outcome, origin)

    def stream_bits(self, outcome: Outcome, origin: str) -> int:
        """Return the part of a token that is the same for all sessions of a stream."""
        return (self._index.get(origin) or self._add(origin)) << _ORIGIN_SHIFT | _OUTCOMES.index(outcome)

    def resumption(self, token: int, server_name: str | None = None, lineage: str | None = None) -> Resumption:
        """Return what the session's token says; 0 is a full handshake."""
        origin = self._origins[token >> _ORIGIN_SHIFT & _ORIGIN_MASK]
        return Resumption(self.outcome(token), origin, server_name, lineage)

    def outcome(self, token: int) -> Outcome:
        """Return how a handshake ended that resumed the session with this token."""
        return _OUTCOMES[token & 3]

    def with_outcome(self, token: int, outcome: Outcome) -> int:
        """Return the token of the same session that was come by in another way."""
        return token & ~3 | _OUTCOMES.index(outcome)

    def result(self, token: int) -> HandshakeResult:
        """Return the outcome's name, under which a handshake is counted."""
        return _RESULTS[token & 3]

    def born_at(self, token: int) -> float | None:
        """Return when the lineage of the session began; None for a full handshake, with which one begins."""
        return self.zero + (token >> _BIRTH_SHIFT) / 1000 if token else None

    def _add(self, origin: str) -> int:
        with self._adding:
            if origin not in self._index and len(self._origins) <= ORIGINS_MAX:
                self._origins.append(origin)
                self._index[origin] = len(self._origins) - 1
            return self._index.get(origin, 0)
