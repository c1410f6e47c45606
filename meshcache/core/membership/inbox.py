"""Takes messages in: decodes, checks who may speak on which connection, and hands each to the duty it is for.

Whatever is wrong with a message is counted by reason, and the message dropped; nothing is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshcache.core.membership.connections import Connections
from meshcache.core.state.members import Peer
from meshcache.core.state.node_state import Board
from meshcache.core.wire.codec import Decoder, WireError
from meshcache.core.wire.messages import Hello, Message, Refuse

Handler = Callable[[Peer, Any, float], None]


class Inbox:
    """``handlers`` says who takes which kind of a peer's messages; hellos and refusals come from strangers too."""

    def __init__(
        self,
        board: Board,
        on_hello: Callable[[Hello, float], None],
        on_refuse: Callable[[str, str, float], None],
        handlers: dict[type[Message], Handler],
    ) -> None:
        self._board = board
        self._on_hello = on_hello
        self._on_refuse = on_refuse
        self._handlers = handlers
        self._connections = Connections(board.limits)
        self._decoder = Decoder()

    def receive(self, connection: bytes, payload: bytes, now: float) -> None:
        """One message from the transport."""
        received = self._board.counters.received
        received.messages += 1
        received.bytes += len(payload)
        if not self._connections.admit(connection, now):
            self._board.drop("flood")
            return
        try:
            sender, incarnation, message, unknown = self._decoder.decode(payload)
        except WireError as error:
            self._board.drop(error.reason)
            return
        self._board.counters.unknown_fields += unknown
        received.kinds[type(message)] += 1
        if not self._connections.binds(connection, sender, incarnation):
            self._board.drop("connection_name")
        elif type(message) is Hello:
            self._greet(message, now)
        elif type(message) is Refuse:
            self._on_refuse(sender, message.reason, now)
        else:
            self._hand_over(sender, incarnation, message, now)

    def _greet(self, hello: Hello, now: float) -> None:
        self._on_hello(hello, now)
        peer = self._board.members.get(hello.record.node)
        if peer is not None and peer.record.incarnation == hello.record.incarnation:
            self._board.members.heard(peer, now)

    def _hand_over(self, sender: str, incarnation: int, message: Message, now: float) -> None:
        peer = self._board.members.get(sender)
        if peer is None:
            self._board.drop("unknown_sender")
        elif peer.record.incarnation != incarnation:
            self._board.drop("old_incarnation" if incarnation < peer.record.incarnation else "unknown_sender")
        else:
            self._board.members.heard(peer, now)
            self._handlers[type(message)](peer, message, now)
