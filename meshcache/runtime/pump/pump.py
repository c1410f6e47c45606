"""The thread that joins core and transport, and the two shortcuts by which handshakes needn't wait for it.

Owns the lock around the core. Decides nothing: the core says what to send, to whom and when to be called again.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from meshcache.core.mesh import MeshCore, Outgoing
from meshcache.core.replication.publisher_fast_path import ReadyPush
from meshcache.core.values.events import Event
from meshcache.edges import native
from meshcache.edges.transport import Transport
from meshcache.runtime.pump.compiled_sleep import compiled_sleep, core_lock
from meshcache.runtime.pump.doors import Doors, NoDoors
from meshcache.runtime.pump.pump_sleep import PumpSleep
from meshcache.runtime.tracing import shown

RECEIVE_MAX = 32
"""Messages taken from the transport at a time, so that whoever wants to send waits 0.1 ms at most; with those that a
fault left untaken."""

READ_MAX = 8
"""Messages that a handshake takes from the transport at a time on a miss."""

READ_S_MAX = 0.002
"""How long a handshake goes on reading at a miss, which is eight full batches or hundreds of pushes of a few sessions.
The pump reads the rest."""

INLINE_LINKS_MAX = 8
"""Up to so many links a handshake sends its own session, which costs it 5 us each; above it the pump does."""

DOOR = 1 << 32
"""What a door adds to the eventfd that wakes the pump: then only what is collected has to be looked at."""

SLEEP_S_MAX = 60.0
STOP_S = 5.0
"""How long closing waits for the thread, which is never in anything that blocks for longer."""

_FAULT_S = 0.1
"""Pause after a fault of ours, so that one that stays doesn't take a whole core."""

log = logging.getLogger("meshcache.mesh")


class Pump:
    """Moves messages between core and transport until it is closed. `on_events` is called on its thread.

    `lock` guards the core. The order of locks is: sending, then transport or core, never one inside the other.
    """

    def __init__(
        self,
        core: MeshCore,
        transport: Transport,
        clock: Callable[[], float],
        on_events: Callable[[list[Event]], None],
        doors: Doors | None = None,
    ) -> None:
        """`doors` are where handshakes leave what they made; see there."""
        self.core = core
        lock = core_lock()
        self.lock, self.quietly = lock.lock, lock.quietly
        """Around the core. Who takes it quietly changes nothing that `compiled_sleep` asks before it files a push."""
        self.clock = clock
        self._in_steps: list[Callable[[], None]] = []
        self._after_steps: list[Callable[[], None]] = []
        self._deadlines: list[Callable[[], float]] = []
        self._tell_came: list[Callable[[list[bytes]], None]] = []
        self._unread = False
        self._others_at = -math.inf
        self._transport = transport
        self._doors = doors or NoDoors()
        self._on_events = on_events
        self.sending = native.Lock()
        """Held by whichever thread sends; nobody waits for it but `close`."""
        self._links: frozenset[str] = frozenset()
        self._wakes_at = 0.0
        self._collected_until = 0.0
        self._mail = True
        self._unfiled: deque[tuple[bytes, bytes]] = deque()
        self._more = False
        self._untold = False
        self._asleep = False
        self._stopping = False
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._python_sleep = PumpSleep(core, transport, lambda: self.clock(), self._wakeup)
        self._compiled_sleep = compiled_sleep(core, transport, lock, self._wakeup)
        self._thread = native.thread(self._run, "meshcache-pump")

    def call_in_each_step(self, chore: Callable[[], None]) -> None:
        """Have this called in every step, on the pump's thread with the lock held: be quick."""
        self._in_steps.append(chore)

    def call_after_each_step(self, errand: Callable[[], None]) -> None:
        """Have this called at the end of every step, on the pump's thread without the lock: it may take milliseconds
        when it is due."""
        self._after_steps.append(errand)

    def call_before_sleep(self, due: Callable[[], float]) -> None:
        """Have this asked before each sleep, with the lock held: when is a step wanted, whatever the core says?"""
        self._deadlines.append(due)

    def call_when_awaited_came(self, tell: Callable[[list[bytes]], None]) -> None:
        """Have this told of sessions that handshakes wait for (`MeshCore.awaiting`), once they were filed or it is
        known that they won't come; without the lock, by whichever thread read the message."""
        self._tell_came.append(tell)

    @property
    def inbox(self) -> int:
        """A descriptor that is readable when the mesh has delivered something that nobody has read."""
        return self._transport.fileno()

    @property
    def wakeup(self) -> int:
        """The eventfd that wakes the pump."""
        return self._wakeup

    def start(self) -> None:
        self._python_sleep.start()
        self._thread.start()

    def wake(self) -> None:
        """Let the pump do a step now; from any thread, also with locks held."""
        if not self._stopping:
            with suppress(BlockingIOError):  # so many wake-ups that the counter is full are enough of them
                os.eventfd_write(self._wakeup, 1)

    def published(self, due_at: float) -> None:
        """Send a session that was just made, if it is due now and that is cheap; else see that the pump does in time.

        Called by the thread of the handshake. It sends only while nobody else does, and never waits for it.
        """
        if due_at <= self.clock() and len(self._links) <= INLINE_LINKS_MAX and self.sending.acquire(blocking=False):
            try:
                self._send()
            finally:
                self.sending.release()
        elif due_at < self._wakes_at:
            self._wake_in_time()

    def push(self, take: Callable[[], ReadyPush | None]) -> bool:
        """Send at once what `take` returns, which is called with the lock held. Return whether it was sent: not while
        another thread sends, where there are many links, or when it is None."""
        if len(self._links) > INLINE_LINKS_MAX or not self.sending.acquire(blocking=False):
            return False
        try:
            with self.quietly:
                ready = take()
            return ready is not None and self._send_each(ready)
        finally:
            self.sending.release()

    def read_what_is_here(self) -> None:
        """After a miss: take in what has arrived and the pump hasn't come to yet. Never waits for it to come.

        That is the race of a client that comes back at once: its session is in this process already, unread.
        """
        until, received = self.clock() + READ_S_MAX, self._transport.try_receive(READ_MAX)
        while received:
            for connection, payload in received:
                self._receive(connection, payload)
            if len(received) < READ_MAX:
                self._wake_in_time()
                return
            self._note_unread(True)
            if self.clock() >= until:
                self.wake()  # what is left would signal nobody again: libzmq's descriptor is edge-triggered
                return
            received = self._transport.try_receive(READ_MAX)

    def hurry(self) -> None:
        """Read what comes at once, while somebody waits for it."""
        if self._python_sleep.resting or (self._compiled_sleep is not None and self._compiled_sleep.resting):
            self.wake()

    def answer_waits(self) -> None:
        """Read what is here and no descriptor tells of: with what comes during the pump's rest, else now. From any
        thread, also with locks held."""
        self._untold = True  # before the look: the pump says that it sleeps, and then looks here
        needed = self._python_sleep.answer_waits() and (
            self._compiled_sleep is None or self._compiled_sleep.answer_waits()
        )
        if needed and self._asleep and not self._stopping:
            with suppress(BlockingIOError):
                os.eventfd_write(self._wakeup, DOOR)

    def close(self, *, goodbye: bool = True) -> None:
        """Say goodbye to all peers, unless a successor follows, and stop the thread; the transport still has the last
        messages to flush."""
        if self._stopping:
            return
        self._stopping = True
        if self._thread.is_alive():
            os.eventfd_write(self._wakeup, 1)
            self._thread.join(STOP_S)
        if self._compiled_sleep is not None:
            self._compiled_sleep.close()
        with self.lock:
            self.core.leave(self.clock(), goodbye=goodbye)
        with self.sending:
            self._send()
        os.close(self._wakeup)

    def _run(self) -> None:
        full = True
        while not self._stopping:
            try:
                received = self._step() if full else self._short_step()
                full = False if self._more else self._sleep(received)
            except Exception as error:  # noqa: BLE001 - handshakes must go on; the message could hold a secret
                log.error("a fault in the mesh, which goes on; please report it: %s", shown(error))  # noqa: TRY400
                native.sleep(_FAULT_S)
                full = True

    def _short_step(self) -> int:
        """Read what has come and publish what is due, as long as nothing else is: most steps of a busy node are these.

        Whatever else a message asks for makes it a whole step. Returns as `_step` does.
        """
        received = self._read()
        while self._unfiled:
            connection, payload = self._unfiled[0]
            with self.quietly:  # taken for each message, so that a handshake waits for one and not for all
                known = self.core.receive_known(connection, payload, self.clock())
            if not known:
                self._step(reads=False)
                return received
            self._unfiled.popleft()
        if self._more or self._collected_until <= self.clock():  # a full step has no sleep after it
            self._publish()
        return received

    def _publish(self) -> None:
        ready: list[ReadyPush] = []
        with self.sending:
            with self.quietly:
                published = self._doors.publish_due(self.clock(), ready)
            for each in ready:
                self._send_each(each)
            if published:
                self._send()

    def _step(self, *, reads: bool = True) -> int:
        """Do all that is due, with what was read before unless it `reads`. Return how many messages it read."""
        self._others_at = -math.inf  # may have changed after it
        self._transport.tend()
        received = 0
        if reads:
            self._mail = True
            received = self._read()
        if self._unfiled:  # a question among them is answered with all that was counted before it
            self._do_chores()
        while self._unfiled:
            self._receive(*self._unfiled.popleft())
        self._do_chores()
        with self.lock:
            now = self.clock()
            if self.core.next_deadline() <= now:
                self.core.handle_timer(now)
            events = self.core.events()
        try:
            with self.sending:
                self._send()
            self._keep_links()
        finally:  # told also where nothing can be sent or dialled: the core says it once
            if events:
                self._on_events(events)
        for errand in self._after_steps:
            errand()
        return received

    def _read(self) -> int:
        """Read what is here, if there may be something. Return how many messages wait to be filed: with those that C
        brought, and those that a fault left.
        """
        room = max(RECEIVE_MAX - len(self._unfiled), 0)
        here = self._transport.receive(room) if self._mail and room else []
        self._more = self._mail and len(here) == room
        self._unfiled.extend(here)
        if self._unread or self._more:
            self._note_unread(self._more)
        if self._mail and not self._more and self._compiled_sleep is not None:
            self._compiled_sleep.caught_up()
        return len(self._unfiled)

    def _receive(self, connection: bytes, payload: bytes) -> None:
        """Take in one message; the lock is taken for each, so that a handshake waits for one and not for all."""
        with self.quietly:
            if self.core.receive_known(connection, payload, self.clock()):
                return
        with self.lock:
            self.core.receive(connection, payload, self.clock())
            came = self.core.awaiting.take() if self.core.awaiting else None
        if came:
            for tell in self._tell_came:
                tell(came)

    def _do_chores(self) -> None:
        with self.lock:
            for chore in self._in_steps:
                chore()

    def _note_unread(self, more: bool) -> None:
        if more != self._unread:
            self._unread = more
            self._doors.note_unread(more)

    def _send(self) -> None:
        """Hand what is due to the transport, in the core's order: whoever calls this holds `sending`."""
        with self.quietly:
            messages = self.core.messages_to_send(self.clock())
            ways_back = self.core.ways_back()
        for address, connection in ways_back.items():
            self._transport.way_back(address, connection)
        send = self._transport.send
        refused: list[Outgoing] = [message for message in messages if not send(message.address, message.payload)]
        if refused:
            with self.lock:
                for message in refused:
                    self.core.refused(message, self.clock())

    def _send_each(self, ready: ReadyPush) -> bool:
        """Hand a push to the transport: whoever calls this holds `sending` since it was taken."""
        for address in self._transport.send_each(ready.addresses, ready.payload):
            with self.lock:
                self.core.refused(Outgoing(address, ready.payload, ready.sessions), self.clock())
        return True

    def _wake_in_time(self) -> None:
        """Wake the pump if it sleeps for longer than the core now allows."""
        with self.quietly:
            deadline = self.core.next_deadline()
            if deadline >= self._wakes_at:
                return
            self._wakes_at = deadline
        self.wake()

    def _keep_links(self) -> None:
        with self.lock:
            wanted = self.core.links()
        if wanted == self._links:
            return
        for address in self._links - wanted:
            self._transport.hangup(address)
        for address in wanted - self._links:
            self._transport.dial(address)
        self._links = wanted

    def _sleep(self, received: int) -> bool:
        """After a step that read so many messages: until the core wants to be called, somebody wakes the pump, or
        something comes that isn't filed meanwhile. Return whether a whole step is wanted, and not only for messages and
        what is collected.
        """
        with self.quietly:
            now, core = self.clock(), self.core
            if others_changed := self._others_at <= now:
                self._others_at = min([now + SLEEP_S_MAX, *(due() for due in self._deadlines)])
            whole_at = min(core.next_deadline(), self._others_at)
            self._collected_until = self._doors.collected_until()
            self._wakes_at = min(whole_at, self._collected_until)
            own_clock = self.clock is not time.monotonic  # C knows that one only
            asks = core.awaiting or core.pull_serving.hurries or own_clock
            compiled = self._compiled_sleep
            alone = None if asks or (compiled is not None and compiled.stopped) else compiled
            if alone is not None and others_changed:
                alone.plan()
            generation = 0 if alone is None else alone.generation
            lie_until = now if alone is not None else self._python_sleep.plan(received, now, self._collected_until)
        self._asleep, self._mail, woken = True, True, 0
        if self._untold:
            self._python_sleep.skip()
        elif alone is not None:
            came, self._mail, woken = alone.stay(generation, received, whole_at, self._collected_until)
            self._unfiled.extend(came)
        else:
            self._mail, woken = self._python_sleep.sleep(lie_until, self._wakes_at, whole_at)
        self._asleep = False
        if self._untold:
            self._mail, self._untold = True, False  # what is told of from here on is read in the step that follows, too
        if woken >= DOOR:
            self._collected_until = 0.0
        return woken % DOOR > 0 or self.clock() >= whole_at
