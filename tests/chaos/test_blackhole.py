"""Two nodes whose connections stay open while nothing passes: what waits is bounded, and repaired."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from meshcache.core.values.limits import Limits
from tests.chaos.blackhole import Blackhole
from tests.chaos.hosts import Host, Hosts, wait_until_all_have, wait_until_met
from tests.support.waiting import wait_until

REPAIRED_S_MAX = 20.0

GROWN_BYTES_MAX = 48 * 1024 * 1024
"""Of the sender: its sessions (2 MB), 256 messages, and what Python and OpenSSL keep of thousands of handshakes."""


@pytest.fixture
def holes() -> Iterator[tuple[Blackhole, Blackhole]]:
    with ExitStack() as stack:
        yield stack.enter_context(Blackhole()), stack.enter_context(Blackhole())


def behind(hole: Blackhole, name: str, seeds: list[str]) -> dict[str, Any]:
    return {"name": name, "mesh": {"advertise": hole.address, "seeds": seeds}}


@pytest.mark.parametrize(
    ("state", "count"),
    [("suspect", 400), pytest.param("lost", 4000, marks=pytest.mark.chaos)],
)
def test_a_peer_behind_a_black_hole_costs_a_bounded_queue_and_is_repaired(
    hosts: Hosts, holes: tuple[Blackhole, Blackhole], state: str, count: int
) -> None:
    """Each is reached only through a hole of its own."""
    one_hole, other_hole = holes
    one = hosts.start(behind(one_hole, "edge-1", []))
    other = hosts.start(behind(other_hole, "edge-2", [one_hole.address]))
    one_hole.to(one.ask("bound", "edge-1"))
    other_hole.to(other.ask("bound", "edge-2"))
    wait_until_met([one, other])
    wait_until_all_have([other], one.make(20))
    for hole in holes:
        hole.swallow()
    passed, resident = [hole.passed for hole in holes], one.resident_bytes()

    made = one.make(count)

    assert queued(one) <= Limits().queue_messages
    wait_until(partial(is_in, one, {state, "lost"}), 30, what=f"edge-2 is {state}")
    made += one.make(count // 2)
    assert queued(one) <= Limits().queue_messages
    assert one.resident_bytes() - resident < GROWN_BYTES_MAX
    assert other.ask("missing", made) == {"edge-2": len(made)}, "nothing passed"
    assert [hole.passed for hole in holes] == passed

    if state == "lost":
        assert one.stats()["gossip"]["dropped"].get("not_sent", 0) > 0, "the queue was full"

    for hole in holes:
        hole.open()

    wait_until_all_have([other], made, REPAIRED_S_MAX)
    wait_until_met([one, other])
    assert one.stats()["vips"]["shop"]["sessions"]["evicted"] == 0


def queued(host: Host) -> int:
    """The longest queue for a peer."""
    return max(int(peer["queue"]) for peer in host.stats()["peers"])


def is_in(host: Host, states: set[str]) -> bool:
    return set(host.states().values()) <= states
