"""Transports for tests."""

import errno
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from meshcache.edges.handshakes import LinkEvent, Refusal, Refused
from meshcache.edges.keyring import Keyring
from meshcache.edges.transport import Transport
from tests.support.processes import run
from tests.support.waiting import PATIENCE_S

KEYRING = Keyring.new()


def until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this didn't come about in time"
        time.sleep(0.002)


class Node:
    """A transport that tends itself, as the pump does. `hold` is called with each event, on the authenticator's
    thread."""

    def __init__(
        self,
        keyring: Keyring = KEYRING,
        listen: str = "127.0.0.1:0",
        hold: Callable[[LinkEvent], object] = lambda _: None,
    ) -> None:
        self.seen: list[LinkEvent] = []
        self.received: list[bytes] = []
        self._hold = hold
        self.transport = Transport(keyring, listen, self._see)

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

    def _see(self, event: LinkEvent) -> None:
        self.seen.append(event)
        self._hold(event)


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


def member_client(context: "zmq.Context[zmq.Socket[bytes]]", node: Node, name: bytes = b"") -> "zmq.Socket[bytes]":
    """A DEALER that is connected as a member's, with the name of its choice for the connection."""
    client = raw_client(context, node.transport.address)
    if name:
        client.setsockopt(zmq.ROUTING_ID, name)
    client.setsockopt(zmq.CURVE_SERVERKEY, KEYRING.current.listener.public)
    client.setsockopt(zmq.CURVE_PUBLICKEY, KEYRING.current.dialler.public)
    client.setsockopt(zmq.CURVE_SECRETKEY, KEYRING.current.dialler.secret)
    client.connect(f"tcp://{node.transport.address}")
    return client


@contextmanager
def no_descriptor_for(kind: int) -> Iterator[None]:
    """Let no ZeroMQ socket of this kind be made meanwhile, as where the one before it took the last descriptor."""
    make = zmq.Context.socket

    def refuse(context: Any, socket_type: int, *arguments: Any, **more: Any) -> Any:
        if socket_type == kind:
            raise zmq.ZMQError(errno.EMFILE)
        return make(context, socket_type, *arguments, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zmq.Context, "socket", refuse)
        yield


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def in_a_process(scene: Callable[[], None]) -> None:
    """Run a function of a test module in a process of its own: a fault might hold up all threads of it for ever."""
    code = f"from {scene.__module__} import {scene.__name__} as scene; scene()"
    done = run([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr


Make = Callable[..., Node]
