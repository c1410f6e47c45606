"""Takes messages in: decodes, checks who may speak on which connection, and hands each to the duty it is for.

Whatever is wrong with a message is counted by reason, and the message dropped; nothing is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from meshcache.core.membership.connections import Connections
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.values.topology import OWN_LINK
from meshcache.core.wire.codec import Decoder, WireError
from meshcache.core.wire.messages import Hello, Message, Push, Refuse

M = TypeVar("M", bound=Message)


class Handlers:
    """Who takes which kind of a peer's messages: one handler for each kind, which gets no other."""

    def __init__(self) -> None:
        self._by_kind: dict[type, Callable[[Peer, Message, float], None]] = {}

    def add(self, kind: type[M], handler: Callable[[Peer, M, float], None]) -> None:
        """Hand every message of this kind to `handler`; a kind has one."""
        assert kind not in self._by_kind
        self._by_kind[kind] = cast(Callable[[Peer, Message, float], None], handler)

    def handle(self, peer: Peer, message: Message, now: float) -> None:
        """Call the handler of a message's kind."""
        self._by_kind[type(message)](peer, message, now)

    def kinds(self) -> set[type]:
        """Return the kinds that have a handler."""
        return set(self._by_kind)


_PATIENCE_S = 10.0
"""Whoever restarts, or was parted from, is heard again sooner; what goes on for longer is said."""


class Inbox:
    """The way in for every message: `receive` judges its bytes and its connection, and calls the handler for its kind.

    `handlers` says who takes which kind of a peer's messages; hellos and refusals come from strangers too.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        members: Members,
        on_hello: Callable[[Hello, float], None],
        on_refuse: Callable[[str, Refuse, float], None],
        on_old_life: Callable[[Peer, float], None],
        on_push: Callable[[bytes, Peer, Push], None],
        handlers: Handlers,
        connections: Connections,
    ) -> None:
        """`on_push` is told of each push that its handler took, with its connection."""
        self._telemetry = telemetry
        self._members = members
        self._on_hello = on_hello
        self._on_refuse = on_refuse
        self._on_old_life = on_old_life
        self._on_push = on_push
        self._handlers = handlers
        self.connections = connections
        self._decoder = Decoder()
        self._ways_back: dict[str, bytes] = {}

    def receive(self, connection: bytes, payload: bytes, now: float) -> None:
        """Take in one message from the transport: decode it, check its sender, call its handler."""
        received = self._telemetry.counters.received
        received.messages += 1
        received.bytes += len(payload)
        if not self.connections.admit(connection, now):
            self._telemetry.drop(Drop.FLOOD)
            return
        try:
            sender, incarnation, message, unknown = self._decoder.decode(payload)
        except WireError as error:
            self._telemetry.drop(error.reason)
            return
        self._telemetry.counters.unknown_fields += unknown
        received.kinds[type(message)] += 1
        if not self.connections.binds(connection, sender, incarnation):
            self._telemetry.drop(Drop.CONNECTION_NAME)
            self._telemetry.refusals.note(sender, "", Drop.CONNECTION_NAME, now, patience_s=_PATIENCE_S)
        elif type(message) is Hello:
            self._greet(message, connection, now)
        elif type(message) is Refuse:
            self._on_refuse(sender, message, now)
        else:
            self._hand_over(sender, incarnation, message, connection, now)

    def ways_back(self) -> dict[str, bytes]:
        """Take what is new of where peers are heard: connections by address."""
        ways, self._ways_back = self._ways_back, {}
        return ways

    def _greet(self, hello: Hello, connection: bytes, now: float) -> None:
        self._on_hello(hello, now)
        peer = self._members.get(hello.record.node)
        if peer is not None and peer.record.incarnation == hello.record.incarnation:
            self._members.heard(peer, now)
            self._note_way(peer, connection)

    def _hand_over(self, sender: str, incarnation: int, message: Message, connection: bytes, now: float) -> None:
        peer = self._members.get(sender)
        if peer is None or peer.record.incarnation < incarnation:
            self._telemetry.drop(Drop.UNKNOWN_SENDER)
            self._telemetry.refusals.note(sender, "", Drop.UNKNOWN_SENDER, now, patience_s=_PATIENCE_S)
        elif peer.record.incarnation != incarnation:
            self._telemetry.drop(Drop.OLD_INCARNATION)
            self._on_old_life(peer, now)
        else:
            self._members.heard(peer, now)
            self._note_way(peer, connection)
            self._handlers.handle(peer, message, now)
            if type(message) is Push:
                self._on_push(connection, peer, message)

    def _note_way(self, peer: Peer, connection: bytes) -> None:
        """Note where the transport can send what a peer is to get while it can't connect to it."""
        peer.reaches_us = not connection.startswith(OWN_LINK)
        if peer.reaches_us and peer.way_back != (peer.address, connection):
            peer.way_back = (peer.address, connection)
            self._ways_back[peer.address] = connection
