"""Looks into every node once in a while: each queue and table is within its maximum, and none grows for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from meshcache.core.cache.streams import STREAMS_MAX
from meshcache.core.values.ranges import RANGES_MAX
from meshcache.core.wire.messages import COLOS_KNOWN_MAX
from tests.simulation.host import Host
from tests.simulation.safety import ViolationError
from tests.simulation.world import World

_SNAPSHOT_FETCHES = 4


class Bounds:
    """Raises `ViolationError` when something is over its maximum; remembers the highest of each for the report."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.highest: Counter[str] = Counter()

    def check(self) -> None:
        """Look at all nodes."""
        for host in self._world.alive():
            for what, size, maximum in self._sizes(host):
                self.highest[what] = max(self.highest[what], size)
                if size > maximum:
                    raise ViolationError(
                        f"at {self._world.now:.3f} s: {host.name} has {size} {what}, and {maximum} is the maximum"
                    )

    def _sizes(self, host: Host) -> Iterator[tuple[str, int, int]]:
        inside, limits = host.core._inside, self._world.limits
        state = inside.state
        yield "queued messages", max(map(len, state.outbox._queues.values()), default=0), limits.queue_messages
        yield "queued bytes", max(state.outbox._bytes.values(), default=0), limits.queue_bytes
        outboxes = inside.publisher._queues.values()
        yield "sessions in an outbox", max((len(box.waiting) for box in outboxes), default=0), limits.outbox_sessions
        yield "gaps", len(inside._repair._gaps), limits.gaps_max
        yield "fetches", len(inside._repair._asked), limits.fetches_max + _SNAPSHOT_FETCHES
        yield "streams", len(state.streams), STREAMS_MAX
        yield "ranges of a stream", max((len(stream.seen) for stream in state.streams), default=0), RANGES_MAX
        yield "peers", len(state.members), limits.peers_max
        yield "records", len(state.roster), limits.roster_max
        yield "colos", len(state.roster.colos()), COLOS_KNOWN_MAX
        yield "candidates", len(inside.joining.candidates), limits.candidates_max
        yield "connections", len(inside.inbox._connections), limits.connections_max
        yield "withdraws", len(inside.withdraws), limits.withdraws_max
        yield "quarantined", len(inside._quarantine), limits.quarantine_max
        for served in state.vips:
            share = state.cache.share(served.vip.terms.vip)
            if share is not None:
                yield "entries of a VIP", len(share), served.vip.quota_sessions
                yield "bytes of a VIP", share.bytes, served.vip.quota_bytes
