"""Carries a node's sessions to the process that follows it, as bytes; `core.repair.hand_over` says what they are.

The one side gives nearly all of them while it serves on, closes, and gives what came meanwhile and word of what went.
The other takes them when its contexts are attached. A cache of 100,000 sessions is about 25 MB of frames, so none of it
is kept here but, until the second time, the ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from meshcache.core.repair.hand_over import Given
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.codec import Decoder, WireError, encode
from meshcache.core.wire.messages import FetchReply, Message
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
    """What one node hands to its successor; any thread may ask for it."""

    def __init__(self, pump: Pump, mesh: str, node: str, colo: str) -> None:
        self._pump = pump
        self._name = mesh, node, colo
        self._marks: dict[StreamKey, int] = {}
        self._given: list[Given] = []

    def about(self) -> dict[str, Any]:
        """Return who this is, for `take`: plain values that JSON can hold."""
        with self._pump.lock:
            hand_over = self._pump.core.hand_over
            return asdict(Predecessor(*self._name, hand_over.lives(), hand_over.peers(), hand_over.lifetimes()))

    def frames(self, *, last: bool = False) -> Iterator[bytes]:
        """Yield what there is; the `last` time, when nothing is made any more, what has come since, which of what was
        given is gone, and what has no place in a stream.
        """
        core, lock = self._pump.core, self._pump.lock
        if not last:  # nor is anything given yet where another process asked before, and failed
            self._begin_anew()
        with lock:
            core.settle()
            before, self._marks = self._marks, core.hand_over.marks()
            pieces = core.hand_over.pieces(before)
            rest = [*core.hand_over.rest(self._pump.clock()), *core.hand_over.gone(self._given)] if last else []
        if last:
            self._given = []
        for piece in pieces:
            with lock:  # for each piece, so that a handshake waits for one and not for all
                messages = core.hand_over.messages(piece, self._pump.clock())
            self._given += [(each.batch.terms.group, each.batch.entries.ids) for each in messages if each.batch]
            yield from map(_encoded, messages)
        yield from map(_encoded, rest)

    def all_frames(self) -> Iterator[bytes]:
        """Return everything, whatever was given before: for a node that is closed, and goes on as another."""
        self._begin_anew()
        return self.frames(last=True)

    def _begin_anew(self) -> None:
        self._marks, self._given = {}, []

    def forget(self) -> None:
        """Wipe the ticket keys, which `close` without a goodbye leaves for the next life, once that has them."""
        with self._pump.lock:
            self._pump.core.tickets.forget(self._pump.clock())

    def take(self, about: object, frames: Sequence[bytes]) -> int:
        """Take over what a predecessor gave. Return how many sessions that were. Raises MeshcacheError.

        What ends the last pass comes first: it says which sessions are gone by now, and those aren't to be filed for a
        moment, nor to reach a tier in it. The sessions come in the order given, in which a journal finds room for all.
        """
        predecessor = Predecessor.from_plain(about)
        if (predecessor.mesh, predecessor.node, predecessor.colo) != self._name:
            raise MeshcacheError("the process before was another node, or in another colo or mesh")
        hand_over, taken = self._pump.core.hand_over, 0
        with self._pump.lock:
            hand_over.succeed(predecessor.lives, predecessor.lifetimes)
        for message in _sessions_last(frames):
            with self._pump.lock:
                taken += hand_over.take(message, self._pump.clock())
        for address in predecessor.peers:
            with self._pump.lock:
                self._pump.core.candidate(address, "predecessor", self._pump.clock())
        self._pump.wake()
        return taken


def _sessions_last(frames: Sequence[bytes]) -> Iterator[Message]:
    """Decode what was given: what follows on the last sessions, then all up to those. Raises MeshcacheError."""
    decoder, sessions = Decoder(), len(frames)
    try:
        while sessions:
            message = decoder.decode(frames[sessions - 1]).message
            if isinstance(message, FetchReply):
                break
            sessions -= 1
            yield message
        for at in range(sessions):
            yield decoder.decode(frames[at]).message
    except WireError as error:
        raise MeshcacheError(f"what the process before gave can't be understood: {error}") from error


def _encoded(message: Message) -> bytes:
    return encode("predecessor", 0, message)
