"""Binds each connection to the first sender it names, and to a rate of messages.

Every member holds the same mesh key, so a name is a claim; but one connection can't claim two.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from meshcache.core.cache.streams import Stream
from meshcache.core.policy.gates import Terms
from meshcache.core.state.members import Peer
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import StreamKey
from meshcache.core.values.token_bucket import Bucket
from meshcache.core.values.topology import NodeRecord

STREAMS_MAX = 16
"""Streams known of one connection, the newest: a node's VIPs. Each is looked for in turn."""


@dataclass(slots=True, eq=False)
class KnownStream:
    """What the last push of a stream was like that came on a connection, for the short way of the next one.

    ``sender`` is what the connection was bound to; `replication.intake_fast_path` makes these, and compares by them.
    """

    peer: Peer
    record: NodeRecord
    sender: tuple[str, int] | None
    terms: Terms
    age: tuple[int, int]
    key: StreamKey
    stream: Stream
    envelope: bytes = field(repr=False)
    head: bytes = field(repr=False)
    begin: int
    end: int
    """Where the head is looked for: a message with it there looks like one of this stream; filing it looks closer."""
    inside: bool


class Connection:
    """One connection to this node: its sender once it has said so, and the streams that came on it, newest first."""

    __slots__ = ("bucket", "known", "sender")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.sender: tuple[str, int] | None = None
        self.known: list[KnownStream] = []

    def learn(self, known: KnownStream) -> None:
        """Note what pushes of a stream are like that come here, in place of what was known of that stream."""
        others = [each for each in self.known if each.stream is not known.stream]
        self.known = [known, *others[: STREAMS_MAX - 1]]


class Connections:
    """Connections by the transport's name for them; the longest silent is forgotten when there are too many."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: OrderedDict[bytes, Connection] = OrderedDict()
        self.get = self._known.get
        """The connection of this name, or None while it isn't remembered."""
        self.heard = self._known.move_to_end
        """Note that one that is remembered was heard. Both are the dict's own methods: most messages come by them."""

    def __len__(self) -> int:
        return len(self._known)

    def admit(self, connection: bytes, now: float) -> bool:
        """Count a message that came on a connection. Return False when it sends more than is read of one."""
        known = self._known.get(connection)
        if known is None:
            known = Connection(Bucket(self._limits.messages_per_s, self._limits.messages_burst, now))
            self._known[connection] = known
            if len(self._known) > self._limits.connections_max:
                self._known.popitem(last=False)
        self._known.move_to_end(connection)
        return known.bucket.take(1, now)

    def binds(self, connection: bytes, sender: str, incarnation: int) -> bool:
        """Return whether this sender may speak on this connection:
        the first it names is bound to it, in that life or a later one.
        """
        known = self._known[connection]
        if known.sender is None or (known.sender[0] == sender and known.sender[1] < incarnation):
            known.sender = (sender, incarnation)
        return known.sender == (sender, incarnation)
