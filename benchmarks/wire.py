"""A receiver behind the real transport: another process sends batches through ZeroMQ and CURVE, as fast as they go.

Only the clocks of the two cores are virtual, so that the limit on what one origin may push never counts.
"""

from __future__ import annotations

import multiprocessing
import select
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from benchmarks.cores import BATCH, STEP_S, Maker, is_alive, make_core
from meshcache.core.mesh import MeshCore
from meshcache.edges.keyring import Keyring
from meshcache.edges.transport import Transport

MEET_S_MAX = 20.0
"""Two processes on one machine find each other within a second."""

SEND_S_MAX = 60.0

_DRAIN = 64
"""Messages taken from the transport at a time."""

_PAUSE_S = 0.0002
"""What the sender waits when the receiver's queue is full."""


class End:
    """A core behind a transport; `step` is one turn of a node's pump."""

    def __init__(self, core: MeshCore, transport: Transport) -> None:
        self.core = core
        self.now = 1000.0
        self._transport = transport
        self._poll = select.poll()
        self._poll.register(transport.fileno(), select.POLLIN)

    def step(self) -> int:
        """Take what is here, or wait a moment for it, and send what the core has to say; how many messages came."""
        received = self._transport.receive(_DRAIN)
        if not received:
            self._poll.poll(5)
        for connection, payload in received:
            self.now += STEP_S
            self.core.receive(connection, payload, self.now)
        return len(received)

    def answer(self) -> None:
        """What a pump does beside receiving."""
        self.now += STEP_S
        self.core.handle_timer(self.now)
        for link in self.core.links():
            self._transport.dial(link)
        for message in self.core.messages_to_send(self.now):
            self._transport.send(message.address, message.payload)

    def until(self, done: Callable[[], bool], seconds_max: float) -> None:
        """Pump until `done`."""
        deadline = time.monotonic() + seconds_max
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError("two cores over the transport got nowhere")
            self.step()
            self.answer()


def received_per_s(batches: int) -> tuple[float, float]:
    """Sessions filed a second of wall clock, and microseconds of CPU (all threads of this process) for each."""
    keyring = Keyring.new()
    transport = _open(keyring)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    order = (keyring.to_toml(), transport.address, batches)
    sender = multiprocessing.get_context("spawn").Process(target=_send, args=(theirs, *order), daemon=True)
    sender.start()
    try:
        end = End(make_core("taker", at=transport.address), transport)
        end.until(lambda: ours.poll(0), MEET_S_MAX)
        return _measure(end, ours, batches)
    finally:
        sender.terminate()
        sender.join()
        transport.close()


def _measure(end: End, sender: Connection, batches: int) -> tuple[float, float]:
    sender.recv()
    end.answer()
    sender.send("go")
    deadline = time.monotonic() + SEND_S_MAX
    filed, left = 0, batches
    started, cpu = time.perf_counter(), time.process_time()
    while filed < batches * BATCH:
        left -= end.step()
        if left <= 0:  # heartbeats come between, so this only says that it is worth counting
            filed = end.core.stats(end.now)["cache"]["entries"]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{filed} of {batches * BATCH} sessions were filed")
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    return filed / wall, cpu / filed * 1e6


def _send(pipe: Connection, keyring: str, receiver: str, batches: int) -> None:
    """The other process: become a peer, encode everything, and on a word send it."""
    transport = _open(Keyring.from_toml(keyring))
    maker = Maker(sessions_max=BATCH, at=transport.address)
    maker.core.candidate(receiver, "seed", maker.now)
    end = End(maker.core, transport)
    end.until(lambda: is_alive(maker.core, end.now), MEET_S_MAX)
    maker.now = end.now
    payloads = list(maker.messages(batches))
    pipe.send("ready")
    pipe.recv()
    for payload in payloads:
        while not transport.send(receiver, payload):
            time.sleep(_PAUSE_S)
    pipe.recv()  # until the receiver has everything and ends this process


def _open(keyring: Keyring) -> Transport:
    transport = Transport(keyring, "127.0.0.1:0", lambda _: None)
    transport.bind()
    return transport
