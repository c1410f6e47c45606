"""The authenticator's thread: answers who may connect (ZAP) and reports what became of every handshake.

Owns the ZAP socket and every socket monitor, and nothing that carries messages. Its thread is apart from the pump's
because nobody is let in while nobody answers, and because what isn't read of a monitor takes memory, without a maximum
of its own (`sockets.monitor_socket`).
"""

from __future__ import annotations

import logging
import os
import struct
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

import zmq
from zmq.utils import z85

from meshcache.edges import native, zap
from meshcache.edges.handshakes import DiallerWatch, LinkEvent, ListenerWatch, Refusal, Refused
from meshcache.edges.keyring import Keyring
from meshcache.edges.sockets import has_message

log = logging.getLogger("meshcache.edges")

NAMED_MAX = 256
"""Addresses whose refusal is put in the log, each once; above it they are only counted."""

STOP_S = 2.0
"""How long closing waits until every monitor has said that it stopped, which takes milliseconds."""

_EVENT = struct.Struct("=HI")

_OTHER_KEY_HINT = (
    "; has it another mesh key? ours: {}. If the mesh has changed its key, copy the key file of a node that is in it "
    "and send SIGHUP (docs/keys.md). If that is no node's mesh.listen, but another port, correct mesh.seeds"
)

Watch = DiallerWatch | ListenerWatch


class Authenticator:
    """Lets in whoever shows a key of the keyring. `on_event` is called on this thread and must not block."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], on_event: Callable[[LinkEvent], None]) -> None:
        self._context = context
        self._on_event = on_event
        self._allowed: frozenset[bytes] = frozenset()
        self._fingerprints: tuple[str, ...] = ()
        self._refused: Counter[Refusal] = Counter()
        self._named: set[tuple[str, bool]] = set()
        self._arriving: deque[tuple[zmq.Socket[bytes], Watch]] = deque()
        self._watches: dict[zmq.Socket[bytes], Watch] = {}
        self._stopping = False
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._zap = context.socket(zmq.REP)
        self._poller = zmq.Poller()
        self._thread = native.thread(self._run, "meshcache-zap")

    def start(self) -> None:
        """Begin to answer; a socket that binds after this is guarded from its first connection."""
        self._zap.bind(zap.ENDPOINT)
        self._poller.register(self._zap, zmq.POLLIN)
        self._poller.register(self._wakeup, zmq.POLLIN)
        self._thread.start()

    def allow(self, keyring: Keyring) -> None:
        """Let in who shows a key of this keyring, and nobody else, from now on."""
        self._named.clear()
        self._fingerprints = keyring.fingerprints
        self._allowed = frozenset(z85.decode(key.dialler.public) for key in keyring.keys)

    def watch(self, monitor: zmq.Socket[bytes], watch: Watch) -> None:
        """Take over a monitor's socket, which is closed here when monitoring stops."""
        self._arriving.append((monitor, watch))
        os.eventfd_write(self._wakeup, 1)

    def refused(self) -> dict[str, int]:
        """Return how many connections were not made, by reason, in both directions."""
        return {refusal.value: count for refusal, count in self._refused.copy().items()}

    def close(self) -> None:
        """End the thread and close its sockets. The monitored sockets must have stopped their monitors before."""
        self._stopping = True
        if self._thread.is_alive():
            os.eventfd_write(self._wakeup, 1)
            self._thread.join(2 * STOP_S)
        else:
            self._zap.close(0)
        os.close(self._wakeup)

    def _run(self) -> None:
        try:
            while not self._stopping:
                for ready, _ in self._poller.poll():
                    self._serve(ready)
            self._see_monitors_stop(time.monotonic() + STOP_S)
        finally:
            for monitor in (*self._watches, *(monitor for monitor, _ in self._arriving)):
                monitor.close(0)
            self._zap.close(0)

    def _see_monitors_stop(self, deadline: float) -> None:
        self._arrive()
        while self._watches and time.monotonic() < deadline:
            for ready, _ in self._poller.poll(100):
                self._serve(ready)

    def _serve(self, ready: object) -> None:
        try:
            self._serve_one(ready)
        except Exception:  # whatever it is: without this thread nobody is let in
            log.exception("the mesh authenticator met a fault and goes on")

    def _serve_one(self, ready: object) -> None:
        if ready is self._zap:
            self._answer()
        elif ready == self._wakeup:
            self._arrive()
        elif isinstance(ready, zmq.Socket) and ready in self._watches:
            self._see(ready)

    def _arrive(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wakeup)
        while self._arriving:
            monitor, watch = self._arriving.popleft()
            self._watches[monitor] = watch
            self._poller.register(monitor, zmq.POLLIN)

    def _answer(self) -> None:
        request = self._zap.recv_multipart()
        reply = zap.answer(request, self._allowed)
        self._zap.send_multipart(reply)
        if reply[2] != b"200":
            address = request[3].decode("ascii", "replace") if len(request) > 3 else "unknown"
            self._report(Refused(address, inbound=True, refusal=Refusal.OTHER_KEY))

    def _see(self, monitor: zmq.Socket[bytes]) -> None:
        frames = monitor.recv_multipart()
        event, value = _EVENT.unpack(frames[0])
        watch = self._watches[monitor]
        if watch.is_last(event):
            self._poller.unregister(monitor)
            del self._watches[monitor]
            monitor.close(0)
            return
        if isinstance(watch, ListenerWatch):
            watch.note_waiting(has_message(monitor), time.monotonic())
        seen = watch.see(event, value)
        if seen is not None:
            self._report(seen)

    def _report(self, event: LinkEvent) -> None:
        if isinstance(event, Refused):
            self._refused[event.refusal] += 1
            self._name(event)
        self._on_event(event)

    def _name(self, event: Refused) -> None:
        if (event.peer, event.inbound) in self._named or len(self._named) >= NAMED_MAX:
            return
        self._named.add((event.peer, event.inbound))
        # With several keys a rotation is under way, and a dialler that tries them in turn is no news.
        level = logging.WARNING if len(self._allowed) == 1 else logging.INFO
        direction = "a connection from" if event.inbound else "the connection to"
        reason = event.refusal.value
        if event.refusal is Refusal.CLOSED and not event.inbound:
            reason += _OTHER_KEY_HINT.format(", ".join(self._fingerprints))
        log.log(level, "refused: %s %s: %s (counted; not logged again)", direction, event.peer, reason)
