"""Two mesh cores in one process, wired to each other in memory: one makes sessions, the other takes them.

No transport, no thread, no TLS: what is left is the cost of encoding, decoding and filing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from meshcache import hot
from meshcache.core.cache.vip_cache import VipCache
from meshcache.core.mesh import MeshCore
from meshcache.core.policy.gates import REACH_EVERYWHERE, Terms
from meshcache.core.values.topology import Identity, LocalVip

VIP = "shop"

DER_BYTES = 134
"""A TLS 1.2 session of OpenSSL's with its 48-byte master secret: what the targets are stated for."""

ID_BYTES = 32

BATCH = 64

CONNECTION = b"\x00link"
"""What the transport would call the link between the two."""

START = 1000.0

_COLO = "here"
_DIGEST = b"\x07" * 32
_QUOTA_BYTES = 1 << 30
_QUOTA_SESSIONS = 1_000_000
STEP_S = 0.01
"""Virtual time between batches: 6,400 sessions/s, within what one origin is allowed."""

_ROUNDS_MAX = 100


class Maker:
    """A core that mints sessions and publishes them; its clock is its own."""

    def __init__(self, *, sessions_max: int = _QUOTA_SESSIONS, at: str | None = None) -> None:
        self.now = START
        self.core = make_core("maker", sessions_max=sessions_max, at=at)
        self._random = random.Random(1)

    def make(self, count: int) -> None:
        """File `count` new sessions as a handshake would."""
        for _ in range(count):
            session_id, der = self._random.randbytes(ID_BYTES), self._random.randbytes(DER_BYTES)
            self.core.session_created(VIP, session_id, der, self.now)

    def messages(self, count: int, batch: int = BATCH) -> Iterator[bytes]:
        """`count` messages of `batch` new sessions each, encoded as they would go to the other core."""
        for _ in range(count):
            self.now += STEP_S
            self.make(batch)
            sent = [message for message in self.core.messages_to_send(self.now) if message.sessions]
            assert [message.sessions for message in sent] == [batch], "a batch is one message"
            yield sent[0].payload


def make_core(name: str, *, sessions_max: int = _QUOTA_SESSIONS, at: str | None = None) -> MeshCore:
    """A core with one VIP that shares with everyone, as a node would make it, on the compiled cache if there is one."""
    identity = Identity("benchmarks", name, 1, _COLO, at or address(name), version="benchmarks")
    table = VipCache if hot.compiled is None else hot.compiled.VipCache
    core = MeshCore(identity, rng=random.Random(len(name)), now=START, make_vip_cache=table)
    terms = Terms(name, _COLO, VIP, group=VIP, digest=_DIGEST, reach=REACH_EVERYWHERE)
    core.set_vip(LocalVip(terms, 3600.0, 86400.0, _QUOTA_BYTES, sessions_max), START)
    return core


def address(name: str) -> str:
    """Where the core of this name says it listens; nothing does."""
    return f"{name}.example:7946"


def introduce(maker: Maker, taker: MeshCore) -> None:
    """Let two cores meet: one has the other's address, and messages go both ways until sessions can."""
    maker.core.candidate(address("taker"), "seed", maker.now)
    for _ in range(_ROUNDS_MAX):
        maker.now += STEP_S
        maker.core.handle_timer(maker.now)
        taker.handle_timer(maker.now)
        moved = _carry(maker.core, taker, maker.now) + _carry(taker, maker.core, maker.now)
        if not moved and is_alive(maker.core, maker.now) and is_alive(taker, maker.now):
            return
    raise RuntimeError("two cores in one process did not become peers")


def _carry(source: MeshCore, target: MeshCore, now: float) -> int:
    sent = source.messages_to_send(now)
    for message in sent:
        target.receive(CONNECTION, message.payload, now)
    return len(sent)


def is_alive(core: MeshCore, now: float) -> bool:
    """Whether the core has its one peer."""
    return [peer["state"] for peer in core.peers(now)] == ["alive"]
