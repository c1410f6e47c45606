"""Two ends of a mesh without TLS: each a core, real sockets, and the pump between them."""

from __future__ import annotations

import time
from random import Random

from meshcache import hot
from meshcache.core.cache.vip_cache import VipCache
from meshcache.core.mesh import MeshCore
from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.core.values.events import Event, PeerJoined
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import Identity, LocalVip
from meshcache.edges.handshakes import AnswerWaits, LinkEvent
from meshcache.edges.keyring import Keyring
from meshcache.edges.transport import Transport
from meshcache.runtime.pump.doors import NoDoors
from meshcache.runtime.pump.pump import Pump
from tests.support.waiting import wait_until

DER = bytes(range(134))


class End:
    """A core, its transport and the pump between them, which is started by hand."""

    def __init__(self, name: str, keyring: Keyring, limits: Limits | None = None) -> None:
        self.seen: list[Event] = []
        self.transport = Transport(keyring, "127.0.0.1:0", self._link_changed)
        self.transport.bind()
        now = time.monotonic()
        identity = Identity("test", name, 1, "ams1", self.transport.address, "0")
        table = VipCache if hot.compiled is None else hot.compiled.VipCache
        self.core = MeshCore(identity, rng=Random(1), now=now, limits=limits, make_vip_cache=table)
        terms = Terms(name, "ams1", "shop", "shop", bytes(32), REACH_COLO)
        self.core.set_vip(LocalVip(terms, 3600, 86400, 2**24, 100_000), now)
        self.doors = NoDoors()
        self.pump = Pump(self.core, self.transport, time.monotonic, self.seen.extend, self.doors)

    def _link_changed(self, event: LinkEvent) -> None:
        self.pump.answer_waits() if isinstance(event, AnswerWaits) else self.pump.wake()

    def make(self, session_id: bytes) -> None:
        with self.pump.lock:
            self.core.session_created("shop", session_id, DER, time.monotonic())
            due_at = self.core.next_deadline()
        self.pump.published(due_at)

    def has(self, session_id: bytes) -> bool:
        return self.core.holds("shop", session_id)

    def pushes(self) -> int:
        """Messages with sessions that this end has sent."""
        with self.pump.lock:
            kinds = self.core.stats(time.monotonic())["gossip"]["sent"]["kinds"]
        return int(kinds.get("push", 0))

    def hint(self, other: End) -> None:
        with self.pump.lock:
            self.core.candidate(other.transport.address, "seed", time.monotonic())
        self.pump.wake()

    def close(self) -> None:
        self.pump.close()
        self.transport.close()


def meet(one: End, other: End) -> None:
    for end in (one, other):
        end.pump.start()
    one.hint(other)
    wait_until(lambda: all(any(isinstance(e, PeerJoined) for e in end.seen) for end in (one, other)))
