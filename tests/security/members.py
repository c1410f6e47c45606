"""Hostile members and strangers on real sockets, and a wire between two nodes that can be listened to and cut into."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Any, Self

import zmq

from meshcache import MeshNode
from meshcache.core.cache.entry import Entries
from meshcache.core.policy.gates import Terms
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import Batch, Hello, Message, Push
from meshcache.edges.keyring import Keyring, MeshKey
from meshcache.edges.sockets import close_socket, make_dealer
from tests.support.waiting import wait_until

SEND_S_MAX = 15.0


class HostileMember:
    """Holds the mesh key, speaks the protocol, and says what it likes; each connection is one ``dealer``."""

    def __init__(self, keyring: Keyring, node: MeshNode, name: str = "mallory", mesh: str = "test") -> None:
        self.name, self.mesh, self.incarnation, self.sent = name, mesh, 7, 0
        self.terms = tuple(self._terms(node))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.dealer = make_dealer(self._context, keyring.current, node.address, Random(1))
        self.dealer.connect(f"tcp://{node.address}")

    def _terms(self, node: MeshNode) -> Sequence[Terms]:
        """What the node says of its own VIPs, as this member's: group, digest and reach are no secret to members."""
        local = node.internals.pump.core.local_vips()
        return [
            Terms(self.name, vip.terms.colo, vip.terms.vip, vip.terms.group, vip.terms.digest, vip.terms.reach)
            for vip in local
        ]

    @property
    def record(self) -> NodeRecord:
        return NodeRecord(self.name, self.incarnation, "ams1", "127.0.0.1:9", 1, self.terms, "0")

    def says(self, message: Message, sender: str | None = None) -> bytes:
        """Send any message; returns its bytes."""
        payload = encode(sender or self.name, self.incarnation, message)
        self.sends(payload)
        return payload

    def sends(self, *frames: bytes) -> None:
        """Waits while the node doesn't read, as TCP makes it."""
        deadline = time.monotonic() + SEND_S_MAX
        while True:
            try:
                self.dealer.send_multipart(frames, zmq.NOBLOCK)
            except zmq.Again:
                assert time.monotonic() < deadline, "the node takes nothing any more"
                time.sleep(0.001)
            else:
                self.sent += 1
                return

    def joins(self, node: MeshNode) -> None:
        self.says(Hello(self.mesh, self.record))
        wait_until(lambda: self.name in {peer["name"] for peer in node.peers()})

    def batch(self, first: int, ders: Sequence[bytes], ids: Sequence[bytes] | None = None, **facts: Any) -> Batch:
        """Sessions of its own making, with ids that nobody else has."""
        count = len(ders)
        columns = Entries(
            list(range(first, first + count)),
            ids or [os.urandom(32) for _ in ders],
            ders,
            [3600] * count,
            [0] * count,
            [0] * count,
        )
        values = {"terms": self.terms[0], "incarnation": self.incarnation, "age": (self.incarnation, 1), **facts}
        return Batch(first=first, last=first + count - 1, entries=columns, **values)

    def pushes(self, first: int, ders: Sequence[bytes], ids: Sequence[bytes] | None = None, **facts: Any) -> bytes:
        return self.says(Push(self.batch(first, ders, ids, **facts), False, 0))

    def close(self) -> None:
        close_socket(self.dealer, linger_ms=0)
        self._context.term()


def stranger(context: zmq.Context[zmq.Socket[bytes]], how: str, mesh_key: MeshKey) -> zmq.Socket[bytes]:
    """A DEALER that doesn't hold the mesh key, with what a stranger could have instead."""
    if how == "another mesh key":
        return make_dealer(context, Keyring.new().current, "127.0.0.1:1", Random(1))
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.LINGER, 0)
    if how == "PLAIN":
        dealer.setsockopt(zmq.PLAIN_USERNAME, b"edge-1")
        dealer.setsockopt(zmq.PLAIN_PASSWORD, b"secret")
    elif how == "the listener's public key":
        public, secret = zmq.curve_keypair()
        dealer.setsockopt(zmq.CURVE_PUBLICKEY, public)
        dealer.setsockopt(zmq.CURVE_SECRETKEY, secret)
        dealer.setsockopt(zmq.CURVE_SERVERKEY, mesh_key.listener.public)
    else:
        assert how == "NULL"
    return dealer


class Tap:
    """A TCP proxy in front of one address: records what passes, and lets a test change or cut it.

    ``change(number, chunk)`` is asked for each chunk on its way to the target, numbered from 1 on each connection; what
    it returns goes on, and None cuts the connection.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.change: Callable[[int, bytes], bytes | None] = lambda _number, chunk: chunk
        self.to_target: list[bytes] = []
        """What clients sent, one item for each connection."""
        self.from_target: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        return "{}:{}".format(*self._listener.getsockname())

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in list(self._threads):
            thread.join(SEND_S_MAX)

    def cut(self) -> None:
        """End the connections there are; new ones may come."""
        while self._sockets:
            each = self._sockets.pop()
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def recorded(self) -> bytes:
        return b"".join([*self.to_target, *self.from_target])

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self.target, 5)
            except ConnectionError:
                client.close()
                continue
            except OSError:
                return
            server.settimeout(None)
            self._sockets += [client, server]
            number = len(self.to_target)
            self.to_target.append(b"")
            self.from_target.append(b"")
            self._run(self._copy, client, server, self.to_target, number, True)
            self._run(self._copy, server, client, self.from_target, number, False)

    def _copy(
        self, source: socket.socket, sink: socket.socket, record: list[bytes], number: int, changing: bool
    ) -> None:
        count = 0
        with suppress(OSError):
            while chunk := source.recv(65_536):
                count += 1
                record[number] += chunk
                passed = self.change(count, chunk) if changing else chunk
                if passed is None:
                    break
                sink.sendall(passed)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
