"""Carries messages between nodes: ZeroMQ over TCP, encrypted and authenticated with CURVE, never waiting for a peer.

One ROUTER receives from everybody; one DEALER for each address sends to it, so a full queue says exactly who missed
what. Where a DEALER can't connect, messages go back on the connection by which that node reached the ROUTER, and come
out of the DEALER there: a link that works one way carries both. Knows nothing of what the messages mean.

Every method may be called on any thread: sockets are used under one lock, which is never held while anything is waited
for, except when the listener moves to a new key.
"""

from __future__ import annotations

import itertools
import logging
import random
import select
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import zmq

from meshcache.edges import native
from meshcache.edges.address import dialable
from meshcache.edges.gate import Gate
from meshcache.edges.handshakes import (
    DIALLER_EVENTS,
    FLOOD_REST_S,
    LISTENER_EVENTS,
    AnswerWaits,
    DiallerWatch,
    Flood,
    LinkDown,
    LinkEvent,
    LinkUp,
    ListenerWatch,
    Refused,
    peer_host,
)
from meshcache.edges.haste import hasten, libzmq_threads
from meshcache.edges.keyring import Keyring, MeshKey
from meshcache.edges.outbound_link import OutboundLink, link_to, rest_s
from meshcache.edges.sockets import (
    check_library,
    close_socket,
    make_dealer,
    make_router,
    set_keys,
)
from meshcache.errors import TransportError

LINKS_MAX = 2048
"""Twice the 1,000 peers a mesh is made for: room for addresses that are tried and don't answer."""

_SOCKETS_PER_LINK = 3  # the DEALER and both ends of its monitor

FLUSH_MS = 1000
"""How long `close` lets the last messages leave."""

REBIND_S = 5.0
"""How long a listener that moves to a new key tries to get its port back; libzmq frees it within milliseconds."""

log = logging.getLogger("meshcache.edges")


class Transport:
    """The node's sockets. `on_event` is called on the gate's thread and must not block.

    Raises TransportError when this libzmq can't be trusted with a mesh.
    """

    def __init__(self, keyring: Keyring, listen: str, on_event: Callable[[LinkEvent], None]) -> None:
        check_library()
        self._keyring = keyring
        self._listen = listen
        self._on_event = on_event
        self._links: dict[str, OutboundLink] = {}
        self._sent_to: set[str] = set()
        self._ways_back: OrderedDict[str, bytes] = OrderedDict()
        self._attempts = itertools.count(1)
        self._turned_away: dict[str, int] = {}  # address -> attempt, from the gate's thread to `tend`
        self._admitted: dict[str, int] = {}  # the same, of links that came up
        self._resting: set[str] = set()
        self._rng = random.SystemRandom()
        self._lock = native.Lock()
        self._closed = False
        self._endpoint = ""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._context.set(zmq.MAX_SOCKETS, LINKS_MAX * _SOCKETS_PER_LINK + 16)
        others = libzmq_threads()
        self._gate = Gate(self._context, self._see)
        self._gate.allow(keyring)
        self._watch = ListenerWatch(peer_host)
        self._flood = Flood(time.monotonic())
        self._looks_again_at: float | None = None
        self._router = make_router(self._context, keyring.current, listen)
        self._by_descriptor: dict[int, str] = {}
        self._readable = native.epoll()
        self._readable.register(int(self._router.getsockopt(zmq.FD)), select.EPOLLIN)
        hasten(others)

    @property
    def address(self) -> str:
        """The host and port that the listener has; the port is the real one where port 0 was asked for."""
        return self._endpoint.removeprefix("tcp://")

    @property
    def links(self) -> frozenset[str]:
        """The addresses that are dialled."""
        with self._lock:
            return frozenset(self._links)

    def bind(self) -> None:
        """Begin to listen, the gate first. Raises TransportError when the address can't be had."""
        self._gate.start()
        self._look_at_listener()
        try:
            self._router.bind(f"tcp://{self._listen}")
        except zmq.ZMQError as error:
            self.close()
            raise TransportError(f"mesh.listen: {self._listen} can't be had: {error.strerror}") from None
        self._endpoint = self._router.getsockopt_string(zmq.LAST_ENDPOINT)

    def dial(self, address: str) -> bool:
        """Keep a connection to this address from now on; False for what can't be dialled or is one too many.

        Nothing waits: whether it can be used shows in `send` and in `LinkUp`.
        """
        with self._lock:
            if address in self._links:
                return True
            if self._closed or len(self._links) >= LINKS_MAX or dialable(address) != address:
                return False
            self._connect(address, self._keyring.current, tries=0)
            return True

    def hangup(self, address: str) -> None:
        """Give up the connection to this address with whatever waits for it."""
        with self._lock:
            link = self._links.pop(address, None)
            if link is not None:
                self._hang_up(link, linger_ms=0)

    def send(self, address: str, payload: bytes) -> bool:
        """Hand a message to the connection with this address, or while there is none to the one it came to us by.

        False when there is neither, or the queue is full.
        """
        with self._lock:
            link = self._links.get(address)
            if (link is None or not link.up) and address in self._ways_back:
                return self._send_back(address, payload)
            if link is None or link.dealer is None:
                return False
            try:
                link.dealer.send(payload, zmq.NOBLOCK)
            except zmq.Again:
                return False
            self._sent_to.add(address)
            # Sending takes in what the network thread has to say, and then the descriptor tells of it no more.
            if link.answers and _has_message(link.dealer):
                self._on_event(AnswerWaits(address))
            return True

    def way_back(self, address: str, connection: bytes) -> None:
        """Whoever is dialled at this address is heard on this connection of the listener's: the newest one counts."""
        with self._lock:
            self._ways_back[address] = connection
            self._ways_back.move_to_end(address)
            if len(self._ways_back) > LINKS_MAX:
                self._ways_back.popitem(last=False)

    def is_up(self, address: str) -> bool:
        """Whether the connection that we made to this address can be used."""
        link = self._links.get(address)
        return link is not None and link.up

    def with_link(self, peer: dict[str, Any]) -> dict[str, Any]:
        """A peer of the core's with its ``link``; see `link_to`."""
        up = self.is_up(peer["address"])
        link = link_to(up=up, reaches_us=peer["reaches_us"])
        return {key: value for key, value in peer.items() if key != "reaches_us"} | {"link": link}

    def receive(self, count: int) -> list[tuple[bytes, bytes]]:
        """Up to `count` messages that are here, each with the id of the connection it came on."""
        with self._lock:
            return self._drain(count)

    def try_receive(self, count: int) -> list[tuple[bytes, bytes]]:
        """As `receive`, but nothing when another thread is using the sockets: for those who can't wait at all."""
        if not self._lock.acquire(blocking=False):
            return []
        try:
            return self._drain(count)
        finally:
            self._lock.release()

    def fileno(self) -> int:
        """A descriptor that becomes readable when messages come; edge-triggered: receive until nothing is left."""
        return self._readable.fileno()

    def use(self, keyring: Keyring) -> None:
        """Go over to another keyring; connections made with a key that is not in it end.

        The listener closes and reopens when its key changes or a key is retired: who connected with the retired key
        is then out, and the others connect again. Raises TransportError when the port is lost over it.
        """
        with self._lock:
            before, self._keyring = self._keyring, keyring
            self._gate.allow(keyring)
            kept = set(keyring.fingerprints)
            if before.current.fingerprint != keyring.current.fingerprint or not set(before.fingerprints) <= kept:
                self._rebind()
            for address, link in list(self._links.items()):
                if link.dealer is None or link.key.fingerprint not in kept:
                    self._hang_up(link, linger_ms=0)
                    self._connect(address, keyring.current, tries=0)

    def tend(self) -> None:
        """Try the next key with everybody who turned the last one away, and look away from a flood of connections.

        Call it every second, and when an event says `Refused`. A listener uses one key and doesn't say which, so a
        dialler with several tries them in turn. When all were turned away the link rests for a while that grows from
        round to round: libzmq's own pause begins anew with each TCP connection that is made, whatever becomes of it,
        and with another mechanism it never tries again.
        """
        with self._lock:
            if self._closed:
                return
            now = time.monotonic()
            while self._admitted:
                self._begin_anew(*self._admitted.popitem())
            while self._turned_away:
                self._try_next_key(*self._turned_away.popitem(), now)
            if self._resting:
                self._end_rests(now)
            self._mind_flood(now)

    def stats(self) -> dict[str, object]:
        """Counters of connections: those that came, those that were let in, and those refused, by reason."""
        return {
            "links": len(self._links),
            "accepted": self._watch.accepted,
            "succeeded": self._watch.succeeded,
            "refused": self._gate.refused(),
        }

    def close(self) -> None:
        """Let the last messages leave, for at most `FLUSH_MS`, and close everything; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            close_socket(self._router, linger_ms=FLUSH_MS if self._ways_back else 0)
            for link in self._links.values():
                self._hang_up(link, linger_ms=FLUSH_MS)
            self._links.clear()
            self._readable.close()
        self._gate.close()
        self._context.term()

    def _drain(self, count: int) -> list[tuple[bytes, bytes]]:
        received: list[tuple[bytes, bytes]] = []
        if self._closed:
            return received
        try:
            while len(received) < count:
                frames = self._router.recv_multipart(zmq.NOBLOCK)
                # A message of a DEALER of ours has one frame; more of them are no message at all.
                received.append((frames[0], frames[1] if len(frames) == 2 else b""))
        except zmq.Again:
            pass
        self._drain_answers(received, count)
        return received

    def _drain_answers(self, received: list[tuple[bytes, bytes]], count: int) -> None:
        """What came on connections that we made: of those whose descriptor says so, and those that were sent on."""
        ready = {self._by_descriptor[each] for each, _ in self._readable.poll(0) if each in self._by_descriptor}
        ready |= self._sent_to
        while ready and len(received) < count:
            address = ready.pop()
            self._sent_to.discard(address)
            link = self._links.get(address)
            if link is None or link.dealer is None or not _has_message(link.dealer):
                continue
            link.answers = True
            name = link.name(address)
            try:
                while len(received) < count:
                    frames = link.dealer.recv_multipart(zmq.NOBLOCK)
                    received.append((name, frames[0] if len(frames) == 1 else b""))
            except zmq.Again:
                continue
            ready.add(address)
        self._sent_to |= ready

    def _send_back(self, address: str, payload: bytes) -> bool:
        try:
            self._router.send_multipart([self._ways_back[address], payload], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError:  # EHOSTUNREACH: that connection has ended
            del self._ways_back[address]
            return False
        return True

    def _hang_up(self, link: OutboundLink, linger_ms: int) -> None:
        if link.dealer is None:
            return
        self._by_descriptor.pop(link.descriptor, None)
        with suppress(OSError):  # the epoll lets go of a descriptor that is closed by itself
            self._readable.unregister(link.descriptor)
        close_socket(link.dealer, linger_ms)
        link.dealer, link.up = None, False

    def _see(self, event: LinkEvent) -> None:
        if isinstance(event, Refused) and not event.inbound:
            self._turned_away[event.peer] = event.attempt
        elif isinstance(event, LinkUp | LinkDown):
            link = self._links.get(event.address)
            if link is not None and link.attempt == event.attempt:
                link.up = isinstance(event, LinkUp)
                link.ups += link.up
            if isinstance(event, LinkUp):
                self._admitted[event.address] = event.attempt
        self._on_event(event)

    def _mind_flood(self, now: float) -> None:
        if self._looks_again_at is not None:
            if now >= self._looks_again_at:
                self._looks_again_at = None
                self._look_at_listener()
        elif self._flood.is_one(self._watch.accepted, now):
            self._looks_again_at = now + FLOOD_REST_S
            self._router.disable_monitor()
            log.warning("a flood of connections to %s: they are not counted for %d s", self.address, FLOOD_REST_S)

    def _look_at_listener(self) -> None:
        monitor = self._router.get_monitor_socket(LISTENER_EVENTS, f"inproc://listener-{next(self._attempts)}")
        self._gate.watch(monitor, self._watch)

    def _begin_anew(self, address: str, attempt: int) -> None:
        link = self._links.get(address)
        if link is not None and link.attempt == attempt:
            link.tries = 0

    def _try_next_key(self, address: str, attempt: int, now: float) -> None:
        link = self._links.get(address)
        keys = self._keyring.in_order
        if link is None or link.attempt != attempt or link.dealer is None:
            return
        link.key = keys[(keys.index(link.key) + 1) % len(keys)] if link.key in keys else keys[0]
        link.tries += 1
        self._hang_up(link, linger_ms=0)
        rounds, more = divmod(link.tries, len(keys))
        if more:
            self._connect(address, link.key, link.tries)
        else:
            link.rests_until = now + rest_s(rounds, self._rng.random())
            self._resting.add(address)

    def _end_rests(self, now: float) -> None:
        for address in list(self._resting):
            link = self._links.get(address)
            if link is None or link.dealer is not None:
                self._resting.discard(address)
            elif link.rests_until <= now:
                self._resting.discard(address)
                self._connect(address, link.key, link.tries)

    def _connect(self, address: str, key: MeshKey, tries: int) -> None:
        dealer = make_dealer(self._context, key, address, self._rng)
        attempt = next(self._attempts)
        monitor = dealer.get_monitor_socket(DIALLER_EVENTS, f"inproc://dialler-{attempt}")
        self._gate.watch(monitor, DiallerWatch(address, attempt))
        descriptor = int(dealer.getsockopt(zmq.FD))
        self._links[address] = OutboundLink(dealer, key, tries, attempt, descriptor=descriptor)
        self._by_descriptor[descriptor] = address
        self._readable.register(descriptor, select.EPOLLIN)
        dealer.connect(f"tcp://{address}")

    def _rebind(self) -> None:
        self._router.unbind(self._endpoint)
        set_keys(self._router, self._keyring.current.listener)
        deadline = time.monotonic() + REBIND_S
        while True:
            try:
                self._router.bind(self._endpoint)
            except zmq.ZMQError as error:
                if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                    raise TransportError(f"mesh.listen: {self.address} was lost: {error.strerror}") from None
                native.sleep(0.002)
            else:
                return


def _has_message(dealer: zmq.Socket[bytes]) -> bool:
    return bool(int(dealer.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
