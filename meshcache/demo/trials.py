"""What the demo expects, and what came of it: one trial is a session made at one endpoint and tried at another."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from meshcache.demo.clients import DemoClient, Visit
from meshcache.demo.files import SERVERS, VIPS, Endpoint, Server
from meshcache.demo.servers import DemoError, Fleet

ARRIVAL_S_MAX = 5.0
"""Gossip takes about a millisecond; after this the trials show what is missing."""

_VIP = {vip.name: vip for vip in VIPS}
_SERVER = {server.name: server for server in SERVERS}


def endpoint(vip: str, server: str) -> Endpoint:
    return Endpoint(_VIP[vip], _SERVER[server])


@dataclass(frozen=True, slots=True)
class Expectation:
    """A session made at `made` and brought to `tried` ends as `outcome`, for the reason that `why` gives."""

    made: Endpoint
    tried: Endpoint
    outcome: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One expectation put to the test by one client."""

    expectation: Expectation
    client: DemoClient
    visit: Visit

    @property
    def held(self) -> bool:
        expected = self.expectation
        origin_told = expected.outcome != "remote" or self.visit.origin == expected.made.server.name
        return self.visit.outcome == expected.outcome and origin_told

    def __str__(self) -> str:
        expected, seen = self.expectation, self.visit
        origin = f" made on {seen.origin}" if seen.origin else ""
        return (
            f"{expected.made} -> {expected.tried}, {self.client.label}, TLS {self.client.tls}: "
            f"expected {expected.outcome}, got {seen.outcome}{origin}"
        )


def everywhere(vip: str) -> list[Expectation]:
    """Return every server against every server."""
    return [
        Expectation(endpoint(vip, here.name), endpoint(vip, there.name), "local" if here == there else "remote")
        for here in SERVERS
        for there in SERVERS
    ]


BORDERS = [
    Expectation(endpoint("shop", "edge-1"), endpoint("checkout", "edge-2"), "remote", "one share group"),
    Expectation(endpoint("shop", "edge-1"), endpoint("checkout", "edge-4"), "full", "beyond its reach"),
    Expectation(endpoint("checkout", "edge-1"), endpoint("shop", "edge-3"), "remote", "one share group"),
    Expectation(endpoint("checkout", "edge-1"), endpoint("shop", "edge-5"), "full", "beyond its reach"),
    Expectation(endpoint("intranet", "edge-1"), endpoint("intranet", "edge-2"), "remote", "one VIP"),
    Expectation(endpoint("intranet", "edge-1"), endpoint("intranet", "edge-6"), "full", "beyond its reach"),
    Expectation(endpoint("intranet", "edge-1"), endpoint("shop", "edge-1"), "full", "another group"),
    Expectation(endpoint("shop", "edge-1"), endpoint("intranet", "edge-1"), "full", "another group"),
]


def survivors(vip: str, killed: str) -> list[Expectation]:
    """Return what was made on the server that is gone, at every one that is left."""
    return [
        Expectation(endpoint(vip, killed), endpoint(vip, server.name), "remote")
        for server in SERVERS
        if server.name != killed
    ]


class Tester:
    """Puts expectations to the test with every client; remembers each session, and counts what each server told."""

    def __init__(self, fleet: Fleet, clients: Sequence[DemoClient], deadline: float) -> None:
        self._fleet = fleet
        self._clients = clients
        self._deadline = deadline
        self._tickets: dict[tuple[DemoClient, Endpoint], Any] = {}
        self.told: Counter[tuple[str, str]] = Counter()

    def test(self, expectations: Sequence[Expectation]) -> list[Trial]:
        """Make the sessions that are still needed, wait for the gossip, then try each expectation with each client."""
        self._make({expected.made for expected in expectations})
        return [self._try(expected, client) for expected in expectations for client in self._clients]

    def _try(self, expected: Expectation, client: DemoClient) -> Trial:
        visit = self._visit(client, expected.tried, self._tickets[client, expected.made])
        return Trial(expected, client, visit)

    def _make(self, endpoints: Iterable[Endpoint]) -> None:
        every = [(client, endpoint) for endpoint in endpoints for client in self._clients]
        missing = [each for each in every if each not in self._tickets]
        before = {server: self._received(server) for server in self._fleet.alive} if missing else {}
        for client, made in missing:
            self._tickets[client, made] = self._visit(client, made, None).ticket
        due = {server: before[server] + sum(_arrives(made, server) for _, made in missing) for server in before}
        until = time.monotonic() + ARRIVAL_S_MAX
        while any(self._received(server) < count for server, count in due.items()) and time.monotonic() < until:
            time.sleep(0.01)

    def _visit(self, client: DemoClient, at: Endpoint, ticket: Any) -> Visit:
        if time.monotonic() > self._deadline:
            raise DemoError("this machine is too busy: the demo did not end in time")
        visit = client.visit(at, ticket)
        self.told[visit.server, visit.session] += 1
        return visit

    def _received(self, server: Server) -> int:
        return sum(vip["sessions"]["received"] for vip in self._fleet.stats(server)["vips"].values())


def _arrives(made: Endpoint, server: Server) -> bool:
    """Return whether the demo's policies send a session made there to this server."""
    near = made.vip.reach == "everywhere" or made.server.colo == server.colo
    return near and made.server != server
