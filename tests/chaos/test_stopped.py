"""A node whose process stands still (SIGSTOP) and goes on: the others shrug, and it blames itself."""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests.chaos.hosts import Host, Hosts, wait_until_all_have, wait_until_met
from tests.support.waiting import wait_until

LOST_S_MAX = 20.0
"""A peer is lost after 8 s; the rest is for a machine that is busy with other things."""

CATCH_UP_S_MAX = 20.0


def has_lost(host: Host, name: str) -> bool:
    return any(event["node"] == name for event in host.events("PeerLost"))


@pytest.mark.parametrize("seconds", [10, pytest.param(20, marks=pytest.mark.chaos)])
def test_a_node_that_stands_still_is_lost_and_doubts_itself_when_it_goes_on(hosts: Hosts, seconds: int) -> None:
    one, other, still = nodes = hosts.mesh("edge-1", "edge-2", "still")
    stopped_at = time.monotonic()
    still.stop()
    meanwhile = one.make(20)
    wait_until_all_have([other], meanwhile)
    for node in (one, other):
        wait_until(partial(has_lost, node, "still"), LOST_S_MAX, what=f"{node.name} loses the one that stands still")
        assert [event["node"] for event in node.events("PeerSuspect")] == ["still"], "suspected first, and nobody else"
    meanwhile += other.make(20)
    wait_until_all_have([one], meanwhile)
    wait_until(lambda: time.monotonic() - stopped_at >= seconds, seconds + 1, what="it has stood still for long")

    still.go_on()

    wait_until_all_have([still], meanwhile, CATCH_UP_S_MAX)
    wait_until_met(nodes)
    stalls = [event["text"] for event in still.events("LoopStalled")]
    assert stalls, "it noticed that it stood still"
    assert still.events("PeerSuspect", "PeerLost") == [], "its own silence is nobody else's"
    for node in (one, other):
        assert len(node.events("PeerSuspect", "PeerLost")) == 2, "no wave of suspicions when it came back"
    late = still.make(5)
    wait_until_all_have([one, other], late)
