"""Two mesh cores in one process, wired to each other in memory: one makes sessions, the other takes them.

No transport, no thread, no TLS: what is left is the cost of encoding, decoding and filing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from meshcache.core.mesh import MeshCore
from meshcache.core.policy import Reach, ReachKind, Terms
from meshcache.core.topology import Identity, LocalVip

VIP = "shop"
DER_BYTES = 134
"""A TLS 1.2 session of OpenSSL 3 with a 48-byte master secret and an SNI: what the target is stated for."""

ID_BYTES = 32
BATCH = 64

_DIGEST = b"\x07" * 32
_QUOTA_BYTES = 1 << 30
_QUOTA_SESSIONS = 1_000_000


class Maker:
    """Mints sessions, and the messages in which its core publishes them."""

    def __init__(self, core: MeshCore, taker: MeshCore) -> None:
        self.core = core
        self._taker = taker
        self._random = random.Random(1)
        self.now = 1000.0

    def messages(self, count: int, batch: int = BATCH) -> Iterator[bytes]:
        """`count` messages of `batch` new sessions each, encoded as they would go on the wire."""
        for _ in range(count):
            self.now += 0.01
            for _ in range(batch):
                self.core.session_created(VIP, self._bytes(ID_BYTES), self._bytes(DER_BYTES), self.now)
            sent = [message.payload for message in self.core.messages_to_send(self.now) if message.sessions]
            assert len(sent) == 1, f"{batch} sessions went in {len(sent)} messages"
            yield from sent

    def _bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)


def make_core(name: str, *, sessions_max: int = _QUOTA_SESSIONS) -> MeshCore:
    """A core with one VIP that shares with everyone, as a node would make it."""
    host = f"127.0.0.{len(name)}"
    identity = Identity(
        mesh="benchmarks", node=name, incarnation=1, colo="here", address=f"{host}:7946", version="benchmarks"
    )
    core = MeshCore(identity, rng=random.Random(len(name)), now=1000.0)
    terms = Terms(vip=VIP, group=VIP, digest=_DIGEST, colo="here", reach=Reach(ReachKind.EVERYWHERE))
    core.set_vip(LocalVip(terms, 3600.0, 86400.0, _QUOTA_BYTES, sessions_max), 1000.0)
    return core
