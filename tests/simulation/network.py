"""Carries bytes between simulated nodes and does to them what its options say: loses, repeats, delays, reorders, cuts.

Never looks into a payload. Behaves as the real transport does: a full queue or a missing link is refused to the sender.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import NamedTuple, Protocol

from meshcache.core.values.topology import OWN_LINK
from tests.simulation.clock import Scheduler
from tests.simulation.faults import CALM, Cut, Fired


class Flight(NamedTuple):
    """A message under way. ``note`` is the sender's, for checkers; ``number`` counts on its way between two nodes."""

    sender: str
    connection: bytes
    receiver: str
    payload: bytes
    number: int
    note: int


class Port(Protocol):
    """What the network needs of a node."""

    name: str
    colo: str
    address: str
    connection: bytes
    up: bool

    def dials(self, address: str) -> bool: ...
    def deliver(self, flight: Flight) -> None: ...


class Network:
    """All ways between nodes. ``on_deliver`` hears of each message that arrives, before it is read."""

    def __init__(self, scheduler: Scheduler, rng: Random, fired: Fired) -> None:
        self.options = CALM
        self.fired = fired
        self.cuts: list[Cut] = []
        self.one_way: set[tuple[str, str]] = set()
        """Who can't open a connection to whom, from the first second to the last: NAT, or a firewall."""
        self.messages = 0
        self.bytes = 0
        self.pending: dict[tuple[str, str], int] = {}
        self.trace = sha256()
        self._scheduler = scheduler
        self._rng = rng
        self._ports: dict[str, Port] = {}
        self._last: dict[tuple[str, str], float] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._arrived: dict[tuple[str, str], int] = {}
        self._held: deque[tuple[float, Flight]] = deque()
        self._lose: Callable[[str, str, bytes], bool] | None = None

    def attach(self, address: str, port: Port) -> None:
        """Whoever listens at an address from now on."""
        self._ports[address] = port

    def lose(self, which: Callable[[str, str, bytes], bool] | None) -> None:
        """Lose exactly the messages (sender, receiver, payload) that a scenario points at."""
        self._lose = which

    def send(self, sender: Port, address: str, payload: bytes, note: int, back: bytes = b"") -> bool:
        """Take a message; False when the transport would have no room or no link for it.

        ``back`` is the connection by which the receiver reached the sender, used where the sender can't open one.
        """
        receiver = self._ports.get(address)
        if receiver is None:
            return False
        way, connection = (sender.name, receiver.name), sender.connection
        if way in self.one_way:
            if back != receiver.connection or not receiver.dials(sender.address):
                self.fired("one-way link")
                return False
            self.fired("way back")
            connection = OWN_LINK + sender.connection
        if not receiver.up:
            self.fired("sent to the dead")
            return self._rng.random() < 0.5  # a link that isn't known to be down yet takes it, another one doesn't
        if self.pending.get(way, 0) >= self.options.queue_messages:
            self.fired("queue full")
            return False
        self.messages += 1
        self.bytes += len(payload)
        number = self._numbers[way] = self._numbers.get(way, 0) + 1
        self._launch(sender, receiver, Flight(sender.name, connection, address, payload, number, note))
        return True

    def inject(self, sender: Port, connection: bytes, address: str, payload: bytes) -> None:
        """Carry what a node says that lies, on a connection of its own."""
        receiver = self._ports[address]
        if receiver.up:
            self._launch(sender, receiver, Flight(sender.name, connection, address, payload, 0, 0))

    def cut(self, cut: Cut) -> None:
        """Let nothing through any more."""
        self.cuts.append(cut)

    def heal(self, cut: Cut) -> None:
        """Let everything through again; what was sent in the last seconds arrives now, in order."""
        if cut not in self.cuts:
            return
        self.cuts.remove(cut)
        held, self._held = self._held, deque()
        for sent_at, flight in held:
            receiver = self._ports[flight.receiver]
            if any(other.stops(flight.sender, receiver.name) for other in self.cuts):
                self._held.append((sent_at, flight))
            elif sent_at >= self._scheduler.now - self.options.held_s and self._rng.random() < 0.5:
                self.fired("held")
                self._travel(flight, receiver, 0.001)

    def read(self, flight: Flight) -> None:
        """A node has read a message: there is room for another."""
        receiver = self._ports[flight.receiver]
        way = (flight.sender, receiver.name)
        self.pending[way] = max(self.pending.get(way, 0) - 1, 0)

    def forget(self, name: str) -> None:
        """A node is gone, with all that waited for it or came from it."""
        for way in [way for way in self.pending if name in way]:
            del self.pending[way]

    def _launch(self, sender: Port, receiver: Port, flight: Flight) -> None:
        options, random = self.options, self._rng.random
        stopped = [cut for cut in self.cuts if cut.stops(sender.name, receiver.name)]
        for cut in stopped:
            cut.stopped += 1
            self.fired(cut.kind)
        if stopped:
            self._hold(flight)
            return
        if self._lose is not None and self._lose(sender.name, receiver.name, flight.payload):
            self.fired("lost")
            return
        if options.drop and random() < options.drop:
            self.fired("drop")
            return
        delay_s = options.delay_min_s + options.delay_mean_s * self._rng.expovariate(1.0)
        if sender.colo != receiver.colo:
            delay_s += options.between_colos_s
        if options.reorder and random() < options.reorder:
            self._scheduler.after(delay_s + options.reorder_s * random(), self._arrive, flight, receiver)
        else:
            self._travel(flight, receiver, delay_s)
        if options.duplicate and random() < options.duplicate:
            self.fired("duplicate")
            self._scheduler.after(delay_s + options.reorder_s * random(), self._arrive, flight, receiver)

    def _hold(self, flight: Flight) -> None:
        """Keep what a cut stopped for as long as it could still arrive."""
        now = self._scheduler.now
        self._held.append((now, flight))
        while self._held[0][0] < now - self.options.held_s:
            self._held.popleft()

    def _travel(self, flight: Flight, receiver: Port, delay_s: float) -> None:
        """Arrive after what was sent before: one way between two nodes is one TCP connection."""
        way = (flight.sender, receiver.name)
        at = max(self._scheduler.now + delay_s, self._last.get(way, 0.0))
        self._last[way] = at
        self.pending[way] = self.pending.get(way, 0) + 1
        self._scheduler.at(at, self._arrive, flight, receiver)

    def _arrive(self, flight: Flight, receiver: Port) -> None:
        if not receiver.up:
            self.fired("sent to the dead")
            return
        way = (flight.sender, receiver.name)
        if flight.number < self._arrived.get(way, 0):
            self.fired("reorder")
        self._arrived[way] = max(flight.number, self._arrived.get(way, 0))
        self.trace.update(b"%r %s %s " % (self._scheduler.now, flight.connection, receiver.connection))
        self.trace.update(flight.payload)
        receiver.deliver(flight)
