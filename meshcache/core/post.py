"""Messages on their way out: one bounded queue for each address until the transport takes them.

Knows no protocol; drops the oldest of a queue that is full and counts it.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from meshcache.core.counters import Counters
from meshcache.core.limits import Limits
from meshcache.core.messages import Message
from meshcache.core.topology import Identity
from meshcache.core.wire import encode


class Outgoing(NamedTuple):
    """A message for the transport: to whom, what, and how many sessions it carries."""

    address: str
    payload: bytes
    sessions: int = 0


class _Queue:
    __slots__ = ("bytes", "messages")

    def __init__(self) -> None:
        self.messages: deque[Outgoing] = deque()
        self.bytes = 0


class Post:
    """All queues; ``version`` grows with each message, so that idle is cheap to see."""

    def __init__(self, identity: Identity, limits: Limits, counters: Counters) -> None:
        self._identity = identity
        self._limits = limits
        self._counters = counters
        self._queues: dict[str, _Queue] = {}

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._queues)

    def waiting(self, address: str) -> int:
        """Messages that wait for this address."""
        queue = self._queues.get(address)
        return len(queue.messages) if queue else 0

    def send(self, address: str, message: Message) -> None:
        """Queue a message to one."""
        self.send_all([address], message)

    def send_all(self, addresses: list[str], message: Message, sessions: int = 0) -> None:
        """Queue a message to many, encoded once."""
        if not addresses:
            return
        payload = encode(self._identity.node, self._identity.incarnation, message)
        kind, sent = type(message), self._counters.sent
        sent.messages += len(addresses)
        sent.bytes += len(addresses) * len(payload)
        sent.sessions += len(addresses) * sessions
        sent.kinds[kind] += len(addresses)
        for address in addresses:
            self._queue(Outgoing(address, payload, sessions))

    def drain(self) -> list[Outgoing]:
        """Everything that waits, in order for each address."""
        messages = [message for queue in self._queues.values() for message in queue.messages]
        self._queues.clear()
        return messages

    def drop(self, address: str) -> None:
        """Forget what waits for an address that nobody listens at any more."""
        self._queues.pop(address, None)

    def _queue(self, message: Outgoing) -> None:
        queue = self._queues.get(message.address)
        if queue is None:
            queue = self._queues[message.address] = _Queue()
        queue.messages.append(message)
        queue.bytes += len(message.payload)
        while len(queue.messages) > self._limits.queue_messages or queue.bytes > self._limits.queue_bytes:
            queue.bytes -= len(queue.messages.popleft().payload)
            self._counters.dropped["queue_full"] += 1
