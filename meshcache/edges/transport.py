"""Carries messages between nodes: ZeroMQ over TCP, encrypted and authenticated with CURVE, never waiting for a peer.

One ROUTER receives from everybody (`listener`); one DEALER for each address sends to it (`dialler`), so a full queue
says exactly who missed what. Where a DEALER can't connect, messages go back on the connection by which that node
reached the ROUTER, and come out of the DEALER there: a link that works one way carries both. Knows nothing of what the
messages mean.

Every method may be called on any thread: sockets are used under one lock, which is never held while anything is waited
for, except when the listener moves to a new key.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

import zmq

import meshcache.hot as hot
from meshcache.edges import mail, native
from meshcache.edges.authenticator import Authenticator
from meshcache.edges.dialler import LINKS_MAX, Dialler
from meshcache.edges.handshakes import AnswerWaits, LinkEvent
from meshcache.edges.keyring import Keyring
from meshcache.edges.listener import MeshListener
from meshcache.edges.outbound_link import link_to
from meshcache.edges.sockets import check_library
from meshcache.edges.thread_priority import libzmq_threads, raise_priority
from meshcache.errors import TransportError

_SOCKETS_PER_LINK = 3  # the DEALER and both ends of its monitor

FLUSH_MS = 1000
"""How long `close` lets the last messages leave."""


class Transport:
    """The node's sockets. `on_event` is called on the authenticator's thread and must not block.

    Raises TransportError when this libzmq can't be trusted with a mesh.
    """

    def __init__(self, keyring: Keyring, listen: str, on_event: Callable[[LinkEvent], None]) -> None:
        check_library()
        self._keyring = keyring
        self._listen = listen
        self._on_event = on_event
        self.lock = mail.new_lock()
        """Around every use of the sockets."""
        self._closed = False
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._context.set(zmq.MAX_SOCKETS, LINKS_MAX * _SOCKETS_PER_LINK + 16)
        others = libzmq_threads()
        self._authenticator = Authenticator(self._context, self._see)
        self._authenticator.allow(keyring)
        self._listener = MeshListener(self._context, self._authenticator, keyring.current, listen)
        self._readable = native.epoll()
        self._readable.register(self._listener.descriptor, select.EPOLLIN)
        self._dialler = Dialler(self._context, self._authenticator, self._readable, on_event)
        raise_priority(others)

    @property
    def address(self) -> str:
        """The host and port that the listener has; the port is the real one where port 0 was asked for."""
        return self._listener.endpoint.removeprefix("tcp://")

    @property
    def links(self) -> frozenset[str]:
        """The addresses that are dialled."""
        with self.lock:
            return self._dialler.addresses

    @property
    def sent_to(self) -> frozenset[str]:
        """The addresses whose answers the next `receive` looks for, whether or not a descriptor tells of them."""
        return self._dialler.sent_to

    def bind(self) -> None:
        """Begin to listen, the authenticator first. Raises TransportError when the address can't be had."""
        self._authenticator.start()
        try:
            self._listener.bind()
        except zmq.ZMQError as error:
            self.close()
            raise TransportError(f"mesh.listen: {self._listen} can't be had: {error.strerror}") from None

    def dial(self, address: str) -> bool:
        """Keep a connection to this address from now on. Return false for what can't be dialled or is one too many.

        Nothing waits: whether it can be used shows in `send` and in `LinkUp`.
        """
        with self.lock:
            return not self._closed and self._dialler.dial(address, self._keyring.current)

    def hangup(self, address: str) -> None:
        """Give up the connection to this address with whatever waits for it."""
        with self.lock:
            self._dialler.hangup(address)

    def send(self, address: str, payload: bytes) -> bool:
        """Hand a message to the connection with this address, or while there is none to the one it came to us by.

        Returns false when there is neither, or the queue is full.
        """
        with self.lock:
            return self._send(address, payload)

    def send_each(self, addresses: list[str], payload: bytes) -> list[str]:
        """Do as `send` does for several. Return those where it was refused."""
        with self.lock:
            full, others = self._dialler.send_each(addresses, payload)
            return [*full, *(address for address in others if not self._send(address, payload))]

    def way_back(self, address: str, connection: bytes) -> None:
        """Note that whoever is dialled at this address is heard on this connection of the listener's."""
        with self.lock:
            self._listener.way_back(address, connection)

    def is_up(self, address: str) -> bool:
        """Return whether the connection that we made to this address can be used."""
        return self._dialler.is_up(address)

    def with_link(self, peer: dict[str, Any]) -> dict[str, Any]:
        """Return a peer of the core's with its ``link``; see `link_to`."""
        up = self.is_up(peer["address"])
        link = link_to(up=up, reaches_us=peer["reaches_us"])
        return {key: value for key, value in peer.items() if key != "reaches_us"} | {"link": link}

    def receive(self, count: int) -> list[tuple[bytes, bytes]]:
        """Return up to `count` messages that are here, each with the id of the connection it came on."""
        with self.lock:
            return self._drain(count)

    def try_receive(self, count: int) -> list[tuple[bytes, bytes]]:
        """Return what `receive` does, or nothing while another thread uses the sockets: for those who can't wait."""
        if not self.lock.acquire(blocking=False):
            return []
        try:
            return self._drain(count)
        finally:
            self.lock.release()

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when messages come; edge-triggered: receive until none is left.

        Where sending takes that signal away, `AnswerWaits` tells of what came.
        """
        return self._readable.fileno()

    @property
    def in_c(self) -> tuple[int, int, int] | None:
        """For who reads in C, with `lock` held, as long as the first one alone has something: the socket that receives
        from everybody, `fileno`, and the descriptor in it that is that socket's. None: only Python may."""
        if hot.compiled is None or not isinstance(self.lock, hot.compiled.Lock):
            return None
        return self._listener.socket, self._readable.fileno(), self._listener.descriptor

    def use(self, keyring: Keyring) -> None:
        """Go over to another keyring; connections made with a key that is not in it end.

        The listener closes and reopens when its key changes or a key is retired: who connected with the retired key
        is then out, and the others connect again. Raises TransportError when the port is lost over it.
        """
        with self.lock:
            before, self._keyring = self._keyring, keyring
            self._authenticator.allow(keyring)
            retired = set(before.fingerprints) - set(keyring.fingerprints)
            if retired or before.current.fingerprint != keyring.current.fingerprint:
                self._listener.rebind(keyring.current)
            self._dialler.use(keyring)

    def tend(self) -> None:
        """Try the next key with everybody who turned the last one away, and look away from a flood of connections.

        Call it every second, and when an event says `Refused`.
        """
        with self.lock:
            if not self._closed:
                now = time.monotonic()
                self._dialler.tend(self._keyring, now)
                self._listener.mind_flood(now)

    def stats(self) -> dict[str, object]:
        """Return counters of connections: those that came, those that were let in, and those refused, by reason."""
        return {
            "links": len(self._dialler),
            "accepted": self._listener.accepted,
            "succeeded": self._listener.succeeded,
            "refused": self._authenticator.refused(),
        }

    def close(self) -> None:
        """Let the last messages leave, for at most `FLUSH_MS`, and close everything; a second call does nothing."""
        with self.lock:
            if self._closed:
                return
            self._closed = True
            self._listener.close(linger_ms=FLUSH_MS)
            self._dialler.close(linger_ms=FLUSH_MS)
            self._readable.close()
        self._authenticator.close()
        self._context.term()

    def _drain(self, count: int) -> list[tuple[bytes, bytes]]:
        received: list[tuple[bytes, bytes]] = []
        if not self._closed:
            self._listener.receive(received, count)
            self._dialler.receive(received, count)
        return received

    def _send(self, address: str, payload: bytes) -> bool:
        if self._listener.hears(address) and not self._dialler.is_up(address):
            sent = self._listener.send_back(address, payload)
            if self._listener.has_message():  # the same as where a DEALER sends, see `Dialler.send`
                self._on_event(AnswerWaits(address))
            return sent
        return self._dialler.send(address, payload)

    def _see(self, event: LinkEvent) -> None:
        self._dialler.see(event)
        self._on_event(event)
