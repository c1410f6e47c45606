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
        duties, limits = host.core.duties, self._world.limits
        messages, size = duties.outbox.fullest()
        yield "queued messages", messages, limits.queue_messages
        yield "queued bytes", size, limits.queue_bytes
        yield "sessions in an outbox", duties.publisher.waiting(), limits.outbox_sessions
        yield "gaps", duties.repair.gaps, limits.gaps_max
        yield "fetches", duties.repair.fetches, limits.fetches_max + _SNAPSHOT_FETCHES
        yield "streams", len(duties.streams), STREAMS_MAX
        yield "ranges of a stream", max((len(stream.seen) for stream in duties.streams), default=0), RANGES_MAX
        yield "peers", len(duties.members), limits.peers_max
        yield "records", len(duties.roster), limits.roster_max
        yield "colos", len(duties.roster.colos()), COLOS_KNOWN_MAX
        yield "candidates", len(duties.joining.candidates), limits.candidates_max
        yield "connections", len(duties.inbox.connections), limits.connections_max
        yield "withdraws", len(duties.withdraws), limits.withdraws_max
        yield "quarantined", len(duties.quarantine), limits.quarantine_max
        for served in duties.vips:
            vip_cache = duties.cache.vip_cache(served.vip.terms.vip)
            if vip_cache is not None:
                yield "entries of a VIP", len(vip_cache), served.vip.quota_sessions
                yield "bytes of a VIP", vip_cache.bytes, served.vip.quota_bytes
