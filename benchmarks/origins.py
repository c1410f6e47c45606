"""Many origins in one process, each a core with a transport of its own, that all send to one node and to nobody else.

They collect sessions for as long as they would if all nodes of the colo were their audience, and compare what they have
seen as often as the node would be chosen by them. What the node tells them of third nodes they don't hear, since they
would turn to these. Measures nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from benchmarks.cores import DER_BYTES, ID_BYTES, VIP
from meshcache.core.mesh import MeshCore
from meshcache.core.policy.gates import REACH_EVERYWHERE, Terms
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import Identity, LocalVip
from meshcache.core.wire.kinds import KINDS
from meshcache.core.wire.messages import Digest, Roster, RosterAsk, SnapshotAsk, Vector
from meshcache.edges.keyring import Keyring
from meshcache.edges.transport import Transport

PER_S = 100.0
"""Sessions that each node makes."""

STEP_S = 0.005
"""Between two turns of all origins of a process."""

CATCH_UP_S_MAX = 0.5
"""A process that stood still for longer doesn't make up for it."""

_RECEIVE_MAX = 64

_JOINED_S = 1.0
"""After this an origin no longer calls itself a joiner."""

_UNHEARD = frozenset(KINDS[kind][0] for kind in (Digest, Vector, Roster, RosterAsk))
_UNSAID = KINDS[SnapshotAsk][0]
"""Nobody catches up with what third nodes made before it came: that is for joiners, of whom a colo has few."""

_KIND_AT = 1
"""Of a message's bytes: an array of four, and then its kind, which is below 24 (RFC 8949 section 3)."""


class Pace:
    """How many sessions are due now, at `PER_S`."""

    def __init__(self, now: float) -> None:
        self._done_until = now

    def due(self, now: float) -> int:
        self._done_until = max(self._done_until, now - CATCH_UP_S_MAX)
        count = int((now - self._done_until) * PER_S)
        self._done_until += count / PER_S
        return count


class Origin:
    """One of them."""

    def __init__(self, keyring: Keyring, node: str, number: int, limits: Limits) -> None:
        self._node = node
        self._transport = Transport(keyring, "127.0.0.1:0", lambda _: None)
        self._transport.bind()
        self._random = random.Random(number)
        now, name = time.monotonic(), f"edge-{number}"
        identity = Identity("benchmarks", name, 1, "here", self._transport.address, version="benchmarks")
        self._core = MeshCore(identity, rng=self._random, now=now, limits=limits)
        self._core.set_vip(local_vip(name), now)
        self._core.candidate(node, "seed", now)
        self._transport.dial(node)
        self._pace = Pace(now + self._random.random() / PER_S)

    def turn(self) -> None:
        """Take what came, make what is due, send what the core wants sent."""
        core, now = self._core, time.monotonic()
        for connection, payload in self._transport.receive(_RECEIVE_MAX):
            if payload[_KIND_AT] not in _UNHEARD:
                core.receive(connection, payload, now)
        for _ in range(self._pace.due(now)):
            core.session_created(VIP, self._random.randbytes(ID_BYTES), self._random.randbytes(DER_BYTES), now)
        if core.next_deadline() > now:
            return
        core.handle_timer(now)
        for message in core.messages_to_send(now):
            if message.address != self._node or message.payload[_KIND_AT] == _UNSAID:
                continue
            if not self._transport.send(self._node, message.payload):
                core.refused(message, now)


def local_vip(node: str) -> LocalVip:
    """The one VIP that all serve, with room for what they make in some minutes."""
    terms = Terms(node, "here", VIP, group=VIP, digest=b"\x07" * 32, reach=REACH_EVERYWHERE)
    return LocalVip(terms, 3600.0, 86400.0, 256 << 20, 200_000)


def feed(keyring: str, node: str, numbers: Sequence[int], receivers: int) -> None:
    """A process's work: be these origins, of which each would have so many receivers, until it is ended."""
    usual = Limits()
    # Twice as often as the node would be chosen: comparisons that it begins itself go unanswered here.
    limits = Limits(
        flush_at_once_peers=0,
        flush_s_per_peer=usual.flush_s(receivers),
        flush_s_per_peer_cubed=0.0,
        entropy_s=usual.entropy_s * receivers / 2,
        snapshot_wait_s=_JOINED_S,
        snapshot_busy_s=_JOINED_S,
        entropy_hurry_s=usual.entropy_s * receivers / 2,
    )
    origins = [Origin(Keyring.from_toml(keyring), node, number, limits) for number in numbers]
    while True:
        for origin in origins:
            origin.turn()
        time.sleep(STEP_S)
