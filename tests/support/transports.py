"""Transports for tests."""

import time
from collections.abc import Callable

import zmq

from meshcache.edges.handshakes import LinkEvent, Refusal, Refused
from meshcache.edges.keyring import Keyring
from meshcache.edges.transport import Transport
from tests.support.waiting import PATIENCE_S

KEYRING = Keyring.new()


def until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this didn't come about in time"
        time.sleep(0.002)


class Node:
    """A transport that tends itself, as the pump does."""

    def __init__(self, keyring: Keyring = KEYRING, listen: str = "127.0.0.1:0") -> None:
        self.seen: list[LinkEvent] = []
        self.received: list[bytes] = []
        self.transport = Transport(keyring, listen, self.seen.append)

    def send(self, other: "Node", payload: bytes) -> None:
        def sent() -> bool:
            self.transport.tend()
            return self.transport.send(other.transport.address, payload)

        assert self.transport.dial(other.transport.address)
        until(sent)

    def receives(self, payload: bytes) -> None:
        def arrived() -> bool:
            self.received += [message for _, message in self.transport.receive(1000)]
            return payload in self.received

        until(arrived)

    def gets_through_to(self, other: "Node", payload: bytes) -> None:
        """Sends until it arrives: a message may be lost with a connection that ends, which the core repairs."""

        def arrived() -> bool:
            self.send(other, payload)
            return payload in [message for _, message in other.transport.receive(1000)]

        until(arrived)

    def refused(self) -> set[Refusal]:
        return {event.refusal for event in self.seen if isinstance(event, Refused)}


def here(node: Node, payload: bytes = b"") -> tuple[bytes, bytes]:
    """The next message, or the next with this payload, and the connection that it came on."""
    found: list[tuple[bytes, bytes]] = []

    def came() -> bool:
        node.transport.tend()
        found.extend(each for each in node.transport.receive(1) if not payload or each[1] == payload)
        return bool(found)

    until(came)
    return found[0]


def raw_client(context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> "zmq.Socket[bytes]":
    client = context.socket(zmq.DEALER)
    client.setsockopt(zmq.LINGER, 0)
    client.setsockopt(zmq.IMMEDIATE, 1)
    return client


Make = Callable[..., Node]
