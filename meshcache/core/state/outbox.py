"""Messages on their way out: one bounded queue for each address until the transport takes them.

Knows no protocol; drops the oldest of a queue that is full and counts it.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import NamedTuple

from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.drops import Drop
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import Message


class Outgoing(NamedTuple):
    """A message for the transport: to whom, what, and how many sessions it carries, which are secrets; ``secret`` where
    it carries others."""

    address: str
    payload: bytes
    sessions: int = 0
    secret: bool = False

    def __repr__(self) -> str:
        return f"<Outgoing of {len(self.payload)} bytes to {self.address}>"


class Outbox:
    """One bounded queue for each address. It is false when nothing waits, which is cheap to see."""

    def __init__(self, local: LocalNode, telemetry: Telemetry) -> None:
        self._local = local
        self._limits = local.limits
        self._telemetry = telemetry
        self._queues: dict[str, deque[Outgoing]] = {}
        self._bytes: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Return whether anything waits."""
        return bool(self._queues)

    def waiting(self, address: str) -> int:
        """Return how many messages wait for an address."""
        return len(self._queues.get(address, ()))

    def fullest(self) -> tuple[int, int]:
        """Return how many messages wait in the longest queue, and how many bytes in the heaviest."""
        return max(map(len, self._queues.values()), default=0), max(self._bytes.values(), default=0)

    def send(self, address: str, message: Message) -> None:
        """Queue a message to one."""
        self.send_all([address], message)

    def send_all(self, addresses: list[str], message: Message, sessions: int = 0, *, secret: bool = False) -> None:
        """Queue a message to many, encoded once."""
        if addresses:
            own = self._local.identity
            payload = encode(own.node, own.incarnation, message)
            self.send_encoded(addresses, payload, type(message), sessions, secret=secret)

    def send_encoded(
        self, addresses: list[str], payload: bytes, kind: type[Message], sessions: int = 0, *, secret: bool = False
    ) -> None:
        """Queue a message to many that is encoded already."""
        self.count_sent(len(addresses), payload, kind, sessions)
        for address in addresses:
            self._queue(Outgoing(address, payload, sessions, secret))

    def count_sent(self, count: int, payload: bytes, kind: type[Message], sessions: int) -> None:
        """Count a message to so many that didn't wait here."""
        sent = self._telemetry.counters.sent
        sent.messages += count
        sent.bytes += count * len(payload)
        sent.sessions += count * sessions
        sent.kinds[kind] += count

    def drain(self) -> list[Outgoing]:
        """Take everything that waits, in order for each address."""
        messages = list(chain.from_iterable(self._queues.values()))
        self._queues.clear()
        self._bytes.clear()
        return messages

    def drop(self, address: str) -> None:
        """Forget what waits for an address that nobody listens at any more."""
        self._queues.pop(address, None)
        self._bytes.pop(address, None)

    def recall(self) -> None:
        """Forget what waits and carries sessions or keys: terms have changed, and who may have it is judged anew.

        Counted; who misses it repairs it.
        """
        for address, queue in list(self._queues.items()):
            kept = deque(message for message in queue if not (message.sessions or message.secret))
            self._telemetry.drop(Drop.RECALLED_UNSENT, len(queue) - len(kept))
            self._queues[address], self._bytes[address] = kept, sum(len(message.payload) for message in kept)
            if not kept:
                self.drop(address)

    def _queue(self, message: Outgoing) -> None:
        address = message.address
        queue = self._queues.get(address)
        if queue is None:
            queue = self._queues[address] = deque()
        queue.append(message)
        size = self._bytes.get(address, 0) + len(message.payload)
        while len(queue) > self._limits.queue_messages or size > self._limits.queue_bytes:
            size -= len(queue.popleft().payload)
            self._telemetry.drop(Drop.QUEUE_FULL)
        self._bytes[address] = size
