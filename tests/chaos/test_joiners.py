"""Many nodes that join at once: all meet, all get what was there before them, and the source isn't overrun."""

from __future__ import annotations

import pytest

from tests.chaos.hosts import Hosts, wait_until_all_have, wait_until_met

JOINERS = 50
PROCESSES = 3

SESSIONS = 300

CONVERGED_S_MAX = 90.0
"""For fifty: 2,550 links, each with CURVE handshakes at both ends, on two cores that others use as well."""


@pytest.mark.chaos
def test_all_who_join_at_once_catch_up_and_the_source_is_not_overrun(hosts: Hosts) -> None:
    source = hosts.start({"name": "source"})
    old = source.make(SESSIONS)
    seeds = list(source.addresses.values())
    nodes = [{"name": f"joiner-{at}", "mesh": {"seeds": seeds}} for at in range(JOINERS)]

    places = [source, *(hosts.start(*nodes[at::PROCESSES]) for at in range(PROCESSES))]
    new = [session for _ in range(5) for session in source.make(20)]
    wait_until_met(places, CONVERGED_S_MAX)
    wait_until_all_have(places, old + new, CONVERGED_S_MAX)

    stats = source.stats()
    assert stats["vips"]["shop"]["sessions"]["evicted"] == 0
    assert stats["gossip"]["sent"]["sessions"] <= JOINERS * (len(old) + len(new)), "nobody got anything twice from it"
    assert [event["text"] for event in source.events("PeerLost", "PeerRefused")] == []
    source.make(5)
