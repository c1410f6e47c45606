"""The dialling side of the transport: one DEALER for each address, the key that is tried there, and its rests.

Knows nothing of who connects to us. `transport` holds its lock around every call but `see` and `is_up`, which only the
authenticator's thread and whoever asks call.
"""

from __future__ import annotations

import itertools
import logging
import random
import select
import time
from collections.abc import Callable
from contextlib import suppress

import zmq

from meshcache.edges import mail
from meshcache.edges.address import dialable
from meshcache.edges.authenticator import Authenticator
from meshcache.edges.handshakes import (
    DIALLER_EVENTS,
    AnswerWaits,
    DiallerWatch,
    LinkDown,
    LinkEvent,
    LinkUp,
    Refused,
)
from meshcache.edges.keyring import Keyring, MeshKey
from meshcache.edges.outbound_link import OutboundLink, rest_s
from meshcache.edges.sockets import close_socket, has_message, make_dealer, monitor_socket

LINKS_MAX = 2048
"""Twice the 1,000 peers a mesh is made for: room for addresses that are tried and don't answer."""

SHORTAGE_S = 1.0
"""How long a link rests for which no socket could be made, as where no descriptor was left: it costs a system call."""

log = logging.getLogger("meshcache.edges")


class Dialler:
    """The connections that this node makes, by address: one DEALER each. `on_event` must not block."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        authenticator: Authenticator,
        readable: select.epoll,
        on_event: Callable[[LinkEvent], None],
    ) -> None:
        self._context = context
        self._authenticator = authenticator
        self._readable = readable
        self._on_event = on_event
        self._links: dict[str, OutboundLink] = {}
        self._by_descriptor: dict[int, str] = {}
        self._sent_to: set[str] = set()
        self._attempts = itertools.count(1)
        self._turned_away: dict[str, int] = {}  # address -> attempt, from the authenticator's thread to `tend`
        self._admitted: dict[str, int] = {}  # the same, of links that came up
        self._resting: set[str] = set()
        self._unmade: set[str] = set()  # those of them for which something was missing
        self._rng = random.SystemRandom()

    def __len__(self) -> int:
        return len(self._links)

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses that are dialled."""
        return frozenset(self._links)

    @property
    def sent_to(self) -> frozenset[str]:
        """The addresses that something was sent to since their answers were last looked for."""
        return frozenset(self._sent_to)

    def dial(self, address: str, key: MeshKey) -> bool:
        """Keep a connection to this address. Return false for what can't be dialled or is one too many."""
        if address in self._links:
            return True
        if len(self._links) >= LINKS_MAX or dialable(address) != address:
            return False
        self._connect(address, key, tries=0)
        return True

    def hangup(self, address: str) -> None:
        """Give up the connection to this address with whatever waits for it."""
        link = self._links.pop(address, None)
        self._unmade.discard(address)
        if link is not None:
            self._hang_up(link, linger_ms=0)

    def is_up(self, address: str) -> bool:
        """Return whether the connection that was made to this address can be used."""
        link = self._links.get(address)
        return link is not None and link.up

    def send(self, address: str, payload: bytes) -> bool:
        """Hand a message to the connection with this address. Return false when there is none or its queue is full."""
        link = self._links.get(address)
        if link is None or link.dealer is None:
            return False
        if not mail.send(link.dealer, payload):
            return False
        self._sent_to.add(address)
        # Sending takes in what the network thread has to say, and then the descriptor tells of it no more.
        if link.answers and has_message(link.dealer):
            self._on_event(AnswerWaits(address))
        return True

    def send_each(self, addresses: list[str], payload: bytes) -> tuple[list[str], list[str]]:
        """Hand a message to the connections with these addresses, all at once. Return those where it couldn't be, since
        the queue is full, and those to be sent to one by one: where no connection can be used, or answers may wait."""
        dealers: list[zmq.Socket[bytes]] = []
        sent_to: list[str] = []
        others: list[str] = []
        for address in addresses:
            link = self._links.get(address)
            if link is None or link.dealer is None or link.answers or not link.up:
                others.append(address)
            else:
                dealers.append(link.dealer)
                sent_to.append(address)
        full = [sent_to[at] for at in mail.send_each(dealers, payload)]
        self._sent_to.update(sent_to)
        return full, others

    def receive(self, received: list[tuple[bytes, bytes]], count: int) -> None:
        """Add what came on connections that were made here, until there are `count` messages.

        Looks at those whose descriptor says so, and at those that were sent on.
        """
        ready = set(self._sent_to)
        for descriptor in mail.ready(self._readable):
            if descriptor in self._by_descriptor:
                ready.add(self._by_descriptor[descriptor])
        while ready and len(received) < count:
            address = ready.pop()
            self._sent_to.discard(address)
            link = self._links.get(address)
            if link is None or link.dealer is None or not has_message(link.dealer):
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

    def see(self, event: LinkEvent) -> None:
        """Take a note of what became of a connection; `tend` acts on it. Runs on the authenticator's thread."""
        if isinstance(event, Refused) and not event.inbound:
            self._turned_away[event.peer] = event.attempt
        elif isinstance(event, LinkUp | LinkDown):
            link = self._links.get(event.address)
            if link is not None and link.attempt == event.attempt:
                link.up = isinstance(event, LinkUp)
                link.ups += link.up
            if isinstance(event, LinkUp):
                self._admitted[event.address] = event.attempt

    def tend(self, keyring: Keyring, now: float) -> None:
        """Try the next key with everybody who turned the last one away.

        A listener uses one key and doesn't say which, so a dialler with several tries them in turn. When all were
        turned away the link rests for a while that grows from round to round: libzmq's own pause begins anew with each
        TCP connection that is made, whatever becomes of it, and with another mechanism it never tries again.
        """
        while self._admitted:
            self._begin_anew(*self._admitted.popitem())
        while self._turned_away:
            self._try_next_key(*self._turned_away.popitem(), keyring, now)
        if self._resting:
            self._end_rests(now)

    def use(self, keyring: Keyring) -> None:
        """End the connections made with a key that is not in this keyring, and those that rest; make each anew."""
        for address, link in list(self._links.items()):
            if link.dealer is None or link.key.fingerprint not in keyring.fingerprints:
                self._hang_up(link, linger_ms=0)
                self._connect(address, keyring.current, tries=0)

    def close(self, linger_ms: int) -> None:
        """Close every connection; what waits gets `linger_ms` to leave."""
        for link in self._links.values():
            self._hang_up(link, linger_ms)
        self._links.clear()

    def _connect(self, address: str, key: MeshKey, tries: int) -> None:
        """Make a connection; where none can be made now, the link rests and it is tried again."""
        link = self._links[address] = OutboundLink(None, key, tries, next(self._attempts))
        try:
            self._open(address, link)
        except (zmq.ZMQError, OSError) as error:  # EMFILE, most likely
            self._hang_up(link, linger_ms=0)
            link.rests_until = time.monotonic() + SHORTAGE_S
            self._resting.add(address)
            if not self._unmade:
                log.warning("no connection can be made to %s now, which is tried again: %s", address, error.strerror)
            self._unmade.add(address)
        else:
            self._unmade.discard(address)

    def _open(self, address: str, link: OutboundLink) -> None:
        link.dealer = dealer = make_dealer(self._context, link.key, address, self._rng)
        link.descriptor = int(dealer.getsockopt(zmq.FD))
        monitor = monitor_socket(self._context, dealer, DIALLER_EVENTS, f"inproc://dialler-{link.attempt}")
        self._authenticator.watch(monitor, DiallerWatch(address, link.attempt))
        self._by_descriptor[link.descriptor] = address
        self._readable.register(link.descriptor, select.EPOLLIN)
        dealer.connect(f"tcp://{address}")

    def _hang_up(self, link: OutboundLink, linger_ms: int) -> None:
        if link.dealer is None:
            return
        self._by_descriptor.pop(link.descriptor, None)
        with suppress(OSError):  # the epoll lets go of a descriptor that is closed by itself
            self._readable.unregister(link.descriptor)
        close_socket(link.dealer, linger_ms)
        link.dealer, link.up = None, False

    def _begin_anew(self, address: str, attempt: int) -> None:
        link = self._links.get(address)
        if link is not None and link.attempt == attempt:
            link.tries = 0

    def _try_next_key(self, address: str, attempt: int, keyring: Keyring, now: float) -> None:
        link = self._links.get(address)
        keys = keyring.in_order
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
