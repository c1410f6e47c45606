"""Watches ticket keys themselves: to whom each is sent, and that nobody keeps one beyond its end.

Reads messages with cbor2 alone and asks `truth`; asks the core only what a node holds.
"""

from __future__ import annotations

import cbor2

from tests.simulation.host import Host
from tests.simulation.network import Flight
from tests.simulation.safety import ViolationError, kind
from tests.simulation.truth import VipTruth
from tests.simulation.world import World

TICKET_KEYS = 20
"""The kind of message, by its number in `docs/protocol.md`."""


def border(node: str, colo: str, terms: VipTruth) -> tuple[object, ...]:
    """What two nodes' VIPs must have in common to share keys: group, settings, and the same reach as a whole."""
    if terms.reach == "server":
        return terms.group, terms.settings, "server", node
    if terms.reach == "everywhere":
        return terms.group, terms.settings, "everywhere"
    listed = terms.reach if isinstance(terms.reach, frozenset) else frozenset()
    return terms.group, terms.settings, tuple(sorted(listed | {colo}))


class RingKeys:
    """Raises `ViolationError` at the message that takes a key across its border, and for a key that outlives itself."""

    def __init__(self, world: World, lasts_s: float) -> None:
        self._world = world
        self._lasts_s = lasts_s
        self._first_seen: dict[bytes, float] = {}
        self.sent_keys = 0

    def sent(self, host: Host, address: str, payload: bytes) -> None:
        """A node sends: keys go only to who serves a VIP in their ring, by any policy the sender can know of him."""
        if kind(payload) != TICKET_KEYS:
            return
        told = cbor2.loads(payload)[3]
        receiver = address.partition(":")[0]
        ring = host.core.tickets.rings.get(told["r"])
        if ring is None:
            raise ViolationError(f"{host.name} sent keys of a ring that it isn't in, at {self._world.now:.2f} s")
        truth, colos = self._world.truth, self._world.truth.colos
        own = truth.policies[host.name][host.version]
        allowed = {border(host.name, host.colo, own[vip]) for vip in ring.vips}
        may = any(
            border(receiver, colos[receiver], terms) in allowed
            for policy in truth.versions(receiver, host.told.get(receiver, 0))
            for terms in policy.values()
        )
        if not may:
            raise ViolationError(
                f"a key is sent across its border, by {host.name} to {receiver}, at {self._world.now:.2f} s"
            )
        self.sent_keys += len(told["k"])

    def received(self, host: Host, flight: Flight) -> None:
        """Whoever sent it was asked already."""

    def changed(self, host: Host) -> None:
        """A node's rings follow its terms by themselves."""

    def judge(self) -> None:
        """No node has a key that opens nothing any more. By true time, since somebody had it for the first time."""
        for host in self._world.alive():
            if host.stalled:
                continue
            for ring in host.core.tickets.rings:
                for key in ring.keys:
                    kept_s = self._world.now - self._first_seen.setdefault(key.name, self._world.now)
                    if kept_s > self._lasts_s:
                        name = key.name.hex()[:8]
                        raise ViolationError(f"key {name} is kept beyond its end on {host.name}, {kept_s:.0f} s old")
