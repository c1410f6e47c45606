"""Carries a node's sessions to the process that follows it, as bytes; `core.repair.hand_over` says what they are.

The one side gives nearly all of them while it serves on, closes, and gives what came meanwhile. The other takes them
when its contexts are attached. A cache of 100,000 sessions is about 25 MB of frames, so none of it is kept here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from meshcache.core.values.session import StreamKey
from meshcache.core.wire.codec import Decoder, WireError, encode
from meshcache.core.wire.messages import Message
from meshcache.errors import MeshcacheError
from meshcache.runtime.pump.pump import Pump


@dataclass(frozen=True, slots=True)
class Predecessor:
    """Who gave the sessions: under which numbers of its life it made some, where its peers are, and how long each VIP's
    sessions lived, which version 0.1 doesn't say.
    """

    mesh: str
    node: str
    colo: str
    lives: list[int]
    peers: list[str]
    lifetimes: dict[str, float]

    @classmethod
    def from_plain(cls, plain: object) -> Predecessor:
        """Read what `Bequest.about` gave. Raises MeshcacheError."""
        try:
            assert isinstance(plain, dict)
            lives, peers = list(map(int, plain["lives"])), list(map(str, plain["peers"]))
            lifetimes = {str(vip): float(seconds) for vip, seconds in plain.get("lifetimes", {}).items()}
            return cls(str(plain["mesh"]), str(plain["node"]), str(plain["colo"]), lives, peers, lifetimes)
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise MeshcacheError("what the process before gave can't be understood") from error


class Bequest:
    """What one node hands to its successor. `frames` gives what came since it was asked last; any thread may."""

    def __init__(self, pump: Pump, mesh: str, node: str, colo: str) -> None:
        self._pump = pump
        self._name = mesh, node, colo
        self._given: dict[StreamKey, int] = {}

    def about(self) -> dict[str, Any]:
        """Return who this is, for `take`: plain values that JSON can hold."""
        with self._pump.lock:
            hand_over = self._pump.core.hand_over
            return asdict(Predecessor(*self._name, hand_over.lives(), hand_over.peers(), hand_over.lifetimes()))

    def frames(self, *, last: bool = False) -> Iterator[bytes]:
        """Yield what isn't given yet; the `last` time, when nothing is made any more,
        also what has no place in a stream.
        """
        core, lock = self._pump.core, self._pump.lock
        with lock:
            core.settle()
            given, self._given = self._given, core.hand_over.marks()
            pieces = core.hand_over.pieces(given)
            rest = core.hand_over.rest(self._pump.clock()) if last else []
        for piece in pieces:
            with lock:  # for each piece, so that a handshake waits for one and not for all
                messages = core.hand_over.messages(piece, self._pump.clock())
            yield from map(_encoded, messages)
        yield from map(_encoded, rest)

    def all_frames(self) -> Iterator[bytes]:
        """Return everything, whatever was given before: for a node that is closed, and goes on as another."""
        self._given = {}
        return self.frames(last=True)

    def forget(self) -> None:
        """Wipe the ticket keys, which `close` without a goodbye leaves for the next life, once that has them."""
        with self._pump.lock:
            self._pump.core.tickets.forget(self._pump.clock())

    def take(self, about: object, frames: Iterable[bytes]) -> int:
        """Take over what a predecessor gave. Return how many sessions that were. Raises MeshcacheError."""
        predecessor = Predecessor.from_plain(about)
        if (predecessor.mesh, predecessor.node, predecessor.colo) != self._name:
            raise MeshcacheError("the process before was another node, or in another colo or mesh")
        decoder, hand_over, taken = Decoder(), self._pump.core.hand_over, 0
        with self._pump.lock:
            hand_over.succeed(predecessor.lives, predecessor.lifetimes)
        for frame in frames:
            try:
                message = decoder.decode(frame).message
            except WireError as error:
                raise MeshcacheError(f"what the process before gave can't be understood: {error}") from error
            with self._pump.lock:
                taken += hand_over.take(message, self._pump.clock())
        for address in predecessor.peers:
            with self._pump.lock:
                self._pump.core.candidate(address, "predecessor", self._pump.clock())
        self._pump.wake()
        return taken


def _encoded(message: Message) -> bytes:
    return encode("predecessor", 0, message)
