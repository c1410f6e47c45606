"""Binds each connection to the first sender it names, and to a rate of messages.

Every member holds the same mesh key, so a name is a claim; but one connection can't claim two.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from meshcache.core.values.limits import Limits
from meshcache.core.values.token_bucket import Bucket


class Connection:
    """One connection to this node: its sender once it has said so, and what `known_streams` keeps of it."""

    __slots__ = ("bucket", "known", "sender")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.sender: tuple[str, int] | None = None
        self.known: list[Any] = []


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
