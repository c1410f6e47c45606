"""Counts what each session costs: copies pushed inside each colo, crossings between colos, and repairs."""

from __future__ import annotations

from collections import Counter

from tests.simulation.host import Host
from tests.simulation.network import Flight
from tests.simulation.safety import FILL, PUSH, ViolationError, kind, session_ids
from tests.simulation.world import World


class Budget:
    """A watcher; `check` raises `ViolationError` when a session cost more or less than it has to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._inside: Counter[tuple[bytes, str]] = Counter()
        self._crossings: Counter[tuple[bytes, str]] = Counter()
        self.kinds: Counter[int] = Counter()
        self.bytes: Counter[str] = Counter()

    def sent(self, host: Host, address: str, payload: bytes) -> None:
        number = kind(payload)
        self.kinds[number] += 1
        self.bytes[host.name] += len(payload)
        if number != PUSH:
            return
        colo = self._world.hosts[address.partition(":")[0]].colo
        counts = self._inside if colo == host.colo else self._crossings
        for session_id in session_ids(payload):
            counts[session_id, colo] += 1

    def received(self, host: Host, flight: Flight) -> None:
        """Counted where it is sent."""

    def changed(self, host: Host) -> None:
        """Costs what it sends."""

    def check(self) -> None:
        """Every session: n-1 pushes inside each colo of n nodes, one crossing to each other colo, nothing repaired."""
        sizes = Counter(host.colo for host in self._world.alive())
        for session in self._world.truth.sessions.values():
            own = self._world.truth.colos[session.node]
            for colo, nodes in sizes.items():
                self._is("pushes inside", colo, self._inside[session.id, colo], nodes - 1)
                self._is("crossings to", colo, self._crossings[session.id, colo], int(colo != own))
        self._is("repairs in", "the mesh", self.kinds[FILL], 0)

    def _is(self, what: str, where: str, count: int, right: int) -> None:
        if count != right:
            raise ViolationError(f"{count} {what} {where} for a session, and {right} would be right")
