"""The listening side of the transport: one ROUTER that receives from everybody, and the ways back to those it hears.

Knows nothing of what is dialled; `transport` holds its lock around every call.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import OrderedDict

import zmq

from meshcache.edges import mail, native
from meshcache.edges.authenticator import Authenticator
from meshcache.edges.handshakes import FLOOD_REST_S, LISTENER_EVENTS, Flood, ListenerWatch, peer_host
from meshcache.edges.keyring import MeshKey
from meshcache.edges.sockets import close_socket, has_message, make_router, monitor_socket, set_keys
from meshcache.errors import TransportError

WAYS_BACK_MAX = 2048
"""Addresses whose connection to us is remembered: as many as are dialled at most."""

REBIND_S = 5.0
"""How long a listener that moves to a new key tries to get its port back; libzmq frees it within milliseconds."""

log = logging.getLogger("meshcache.edges")


class MeshListener:
    """The ROUTER that peers connect to. It is guarded by the authenticator, which has to run before `bind`."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], authenticator: Authenticator, key: MeshKey, listen: str
    ) -> None:
        self._context = context
        self._authenticator = authenticator
        self._listen = listen
        self._router = make_router(context, key, listen)
        self._ways_back: OrderedDict[str, bytes] = OrderedDict()
        self._looks = itertools.count(1)
        self._watch = ListenerWatch(peer_host)
        self._flood = Flood(time.monotonic())
        self._looks_again_at: float | None = None
        self._cannot_look = False
        self.endpoint = ""
        """Where it listens, once it is bound; the port is the real one where port 0 was asked for."""

    @property
    def descriptor(self) -> int:
        """What becomes readable, edge-triggered, when messages come."""
        return int(self._router.getsockopt(zmq.FD))

    @property
    def socket(self) -> int:
        """The ROUTER as libzmq knows it, for who reads it in C."""
        return int(self._router.underlying)

    @property
    def accepted(self) -> int:
        """How many connections came; during a flood nobody counts them."""
        return self._watch.accepted

    @property
    def succeeded(self) -> int:
        """How many of those that came were let in."""
        return self._watch.succeeded

    def bind(self) -> None:
        """Begin to listen. Raises ZMQError when the address can't be had."""
        self._look()
        self._router.bind(f"tcp://{self._listen}")
        self.endpoint = self._router.getsockopt_string(zmq.LAST_ENDPOINT)

    def rebind(self, key: MeshKey) -> None:
        """Close and reopen with another key: whoever is connected has to come again.

        Raises TransportError when the port is lost over it.
        """
        self._router.unbind(self.endpoint)
        set_keys(self._router, key.listener)
        deadline = time.monotonic() + REBIND_S
        while True:
            try:
                self._router.bind(self.endpoint)
            except zmq.ZMQError as error:
                if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                    raise TransportError(f"mesh.listen: {self._where} was lost: {error.strerror}") from None
                native.sleep(0.002)
            else:
                return

    def receive(self, received: list[tuple[bytes, bytes]], count: int) -> None:
        """Add the messages that are here, each with the id of its connection, until there are `count`."""
        if len(received) < count:
            received += mail.receive(self._router, count - len(received))

    def way_back(self, address: str, connection: bytes) -> None:
        """Remember the connection on which whoever is dialled at this address is heard: the newest one counts."""
        self._ways_back[address] = connection
        self._ways_back.move_to_end(address)
        if len(self._ways_back) > WAYS_BACK_MAX:
            self._ways_back.popitem(last=False)

    def hears(self, address: str) -> bool:
        """Return whether there is a way back to who is dialled at this address."""
        return address in self._ways_back

    def has_message(self) -> bool:
        """Return whether one is here. Where none is, the descriptor tells of the next one, also after `send_back`."""
        return has_message(self._router)

    def send_back(self, address: str, payload: bytes) -> bool:
        """Hand a message to the connection by which this address is heard. Return false when it is full or over."""
        try:
            self._router.send_multipart([self._ways_back[address], payload], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError:  # EHOSTUNREACH: that connection has ended
            del self._ways_back[address]
            return False
        return True

    def mind_flood(self, now: float) -> None:
        """Look away from a flood of connections for a while; see `Flood`. Call it every second."""
        if self._looks_again_at is not None:
            if now >= self._looks_again_at:
                self._look_again(now)
        elif self._flood.is_one(self._watch.accepted, now, self._watch.behind_since):
            self._looks_again_at = now + FLOOD_REST_S
            self._router.disable_monitor()
            self._watch.over = True
            log.warning("a flood of connections to %s: they are not counted for %d s", self._where, FLOOD_REST_S)

    def close(self, linger_ms: int) -> None:
        """Close the socket; messages that go back get `linger_ms` to leave."""
        close_socket(self._router, linger_ms=linger_ms if self._ways_back else 0)
        self._watch.over = True

    @property
    def _where(self) -> str:
        return self.endpoint.removeprefix("tcp://")

    def _look(self) -> None:
        endpoint = f"inproc://listener-{next(self._looks)}"
        monitor = monitor_socket(self._context, self._router, LISTENER_EVENTS, endpoint)
        # Another watch each time: what was open when it looked away may have ended, and another have its descriptor.
        self._watch = ListenerWatch(peer_host, self._watch.accepted, self._watch.succeeded)
        self._authenticator.watch(monitor, self._watch)

    def _look_again(self, now: float) -> None:
        try:
            self._look()
        except zmq.ZMQError as error:  # most likely EMFILE, since a flood takes descriptors
            self._looks_again_at = now + FLOOD_REST_S
            if not self._cannot_look:
                log.warning("connections to %s still are not counted: %s; tried again", self._where, error.strerror)
            self._cannot_look = True
        else:
            self._looks_again_at, self._cannot_look = None, False
