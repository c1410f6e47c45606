"""One simulated node: a real core, its own clock, and a loop around it that does what the pump does.

A node can stall (nothing runs, messages wait), stop reading (it goes on talking), and die.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from meshcache.core.mesh import MeshCore
from meshcache.core.values.events import Event
from tests.simulation.clock import NodeClock, Scheduler
from tests.simulation.network import Flight, Network

READ_MAX = 32
"""Messages read between two looks at the timers, as the pump does."""


class Host:
    """A process that lives until it is killed; the next of the same name is another host."""

    core: MeshCore
    on_received: Callable[[Host, Flight], None]
    on_sent: Callable[[Host, str, bytes], None]

    def __init__(
        self, name: str, colo: str, incarnation: int, clock: NodeClock, scheduler: Scheduler, network: Network
    ) -> None:
        self.name = name
        self.colo = colo
        self.address = f"{name}:7946"
        self._born_as = incarnation
        self.clock = clock
        self.connection = f"{name}#{incarnation}".encode()
        self.up = True
        self.reads = True
        self.stalled = False
        self.version = 0
        """Which version of its policy the node has; for checkers."""
        self.told: dict[str, int] = {}
        """The newest policy version that each other node has told this one itself; for checkers."""
        self.lives_heard: dict[str, tuple[int, int]] = {}
        """The latest life and revision of each other node that this one was told of; for checkers."""
        self.history: list[Event] = []
        self._inbox: deque[Flight] = deque()
        self._links: frozenset[str] = frozenset()
        self._ways_back: dict[str, bytes] = {}
        self._timer_at = float("inf")
        self._scheduler = scheduler
        self._network = network

    def start(self, core: MeshCore) -> None:
        """Bring it up on the network."""
        self.core = core
        self._network.attach(self.address, self)

    @property
    def incarnation(self) -> int:
        """The number of its life, which grows while it runs when others know a higher one."""
        return self.core.duties.local.identity.incarnation if hasattr(self, "core") else self._born_as

    def is_own(self, origin: str, incarnation: int) -> bool:
        """Whether this process made what it made under this number of its life."""
        former = (served.former for served in self.core.duties.vips)
        return origin == self.name and incarnation in {self.incarnation}.union(*former)

    def now(self) -> float:
        """What its own clock shows."""
        return self.clock.read(self._scheduler.now)

    def deliver(self, flight: Flight) -> None:
        """A message has arrived; it is read unless the node can't or won't."""
        if self.stalled or not self.reads:
            self._inbox.append(flight)
        else:
            self._read(flight)
            self.step()

    def step(self) -> None:
        """Send what is to be sent, and see when the core wants to be called again."""
        if self.stalled or not self.up:
            return
        core, now = self.core, self.now()
        messages = core.messages_to_send(now)
        self._ways_back |= core.ways_back()
        for message in messages:
            if not self._send(message.address, message.payload):
                core.refused(message, now)
        due = self.clock.true(core.next_deadline())
        if due < self._timer_at:
            self._timer_at = max(due, self._scheduler.now)
            self._scheduler.at(self._timer_at, self._timer, self._timer_at)

    def dials(self, address: str) -> bool:
        """Whether it keeps a connection to there."""
        return self.up and address in self.core.links()

    def stall(self) -> None:
        """Nothing runs any more, as after SIGSTOP."""
        self.stalled = True

    def resume(self) -> None:
        """Everything runs again: what came meanwhile is read, a few messages between two looks at the timers."""
        self.stalled = False
        while self._inbox and self.reads:
            for _ in range(min(READ_MAX, len(self._inbox))):
                self._read(self._inbox.popleft())
            self._due()
        self._due()

    def kill(self) -> None:
        """It is gone, without a word."""
        self.up = False
        self._inbox.clear()
        self._network.forget(self.name)

    def events(self) -> list[Event]:
        """All that its core has reported so far."""
        self.history += self.core.events()
        return self.history

    @property
    def waiting(self) -> int:
        """Messages that arrived and weren't read."""
        return len(self._inbox)

    def _read(self, flight: Flight) -> None:
        self._network.read(flight)
        self.core.receive(flight.connection, flight.payload, self.now())
        self.on_received(self, flight)

    def _due(self) -> None:
        now = self.now()
        if self.core.next_deadline() <= now:
            self.core.handle_timer(now)
        self.step()

    def _timer(self, at: float) -> None:
        if at != self._timer_at:
            return
        self._timer_at = float("inf")
        if self.up and not self.stalled:
            self._due()

    def _send(self, address: str, payload: bytes) -> bool:
        if address not in self._links:
            self._links = self.core.links()
            return False  # the pump dials after it has sent
        self.on_sent(self, address, payload)
        return self._network.send(self, address, payload, self.version, self._ways_back.get(address, b""))
