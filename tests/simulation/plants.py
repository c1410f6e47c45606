"""Bugs to plant in the core, and one in the simulator itself: whatever can't see these is no proof of anything.

Each is undone when its block ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from meshcache.core.cache.consumed_ids import ConsumedIds
from meshcache.core.holders.audience import Audiences
from meshcache.core.membership.liveness import Liveness
from meshcache.core.repair.repair import Repair
from meshcache.core.replication.consuming import Consuming
from tests.simulation.network import Network


@contextmanager
def unjudged_relay() -> Iterator[None]:
    """A relay passes another colo's sessions on to everybody in its own, without asking the policy."""

    def everyone(self: Any, _source: object) -> Any:
        return self._members.usable(self._local.identity.colo)

    with replaced(Audiences, "of_relayed", everyone):
        yield


@contextmanager
def no_repair() -> Iterator[None]:
    """Gaps are never noticed."""
    with replaced(Repair, "_note", lambda *_: None):
        yield


@contextmanager
def used_up_is_forgotten() -> Iterator[None]:
    """What was used up goes, and may come back."""
    with replaced(ConsumedIds, "places", lambda *_: []):
        yield


@contextmanager
def used_up_is_not_told() -> Iterator[None]:
    """Nobody else hears of it."""
    with replaced(Consuming, "_tell", lambda *_: None):
        yield


@contextmanager
def clocks_are_believed() -> Iterator[None]:
    """A node takes what another's clock shows for its own time."""
    original = Liveness.pong_received

    def pong_received(self: Any, peer: Any, pong: Any, now: float) -> None:
        original(self, peer, pong, now)
        peer.ahead_s = peer.ahead_s and 0.0

    with replaced(Liveness, "pong_received", pong_received):
        yield


@contextmanager
def no_faults() -> Iterator[None]:
    """The trouble-maker asks for faults, and the network has none."""

    def launch(self: Any, sender: Any, receiver: Any, flight: Any) -> None:
        self._travel(flight, receiver, 0.001)

    with replaced(Network, "_launch", launch):
        yield


@contextmanager
def replaced(owner: object, name: str, function: Callable[..., Any]) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, original)
