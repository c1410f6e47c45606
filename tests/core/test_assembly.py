"""The duties together: what is due is done, nothing is due for ever, and the same seed gives the same run."""

from __future__ import annotations

import random

import pytest

from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.values.limits import Limits
from tests.core.net import Net, Puppet, dropped, make, mesh, vip


def run(seed: int) -> list[tuple[str, str, bytes, int]]:
    net = Net(seed)
    faults = random.Random(seed)
    for colo in ("ams1", "fra1"):
        mesh(net, [f"{colo}-{at}" for at in range(4)], colo, REACH_EVERYWHERE)
    net.lose = lambda *_: faults.random() < 0.1
    for number in range(60):
        make(net, net.hosts[f"ams1-{number % 4}"], number)
        net.run(0.2)
    return net.sent


def test_the_same_seed_gives_the_same_messages() -> None:
    assert run(5) == run(5)


def test_another_seed_gives_others() -> None:
    assert run(5) != run(6)


def test_after_a_timer_was_handled_nothing_is_due_at_once() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b", "c"])
    for _ in range(400):
        net.run(0.05)
        for host in hosts:
            if host.core.next_deadline() <= net.now:
                host.core.handle_timer(net.now)
                host.core.messages_to_send(net.now)
                assert host.core.next_deadline() > net.now
                assert host.core.next_deadline() < net.now + 2


def test_an_idle_node_wakes_a_few_times_a_second() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    net.run(5)
    wakes = 0
    while net.now < 1065:
        net.now = host.core.next_deadline()
        host.core.handle_timer(net.now)
        host.core.messages_to_send(net.now)
        wakes += 1
    assert wakes < 60 * 6


def test_a_late_timer_and_one_too_many_do_no_harm() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    for _ in range(5):
        a.core.handle_timer(net.now)
    a.core.handle_timer(net.now + 1000)
    assert b.up


@pytest.mark.parametrize("address", ["", "nonsense", "a:0", "a:1\n", "x" * 300 + ":1"])
def test_a_hint_that_is_no_address_is_counted(address: str) -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    host.core.candidate(address, "mdns", net.now)
    assert host.core.links() == frozenset()
    assert dropped(host, net) == {"bad_address": 1}


def test_hints_are_bounded_whoever_gives_them() -> None:
    net = Net(limits=Limits(candidates_max=8))
    host = net.add("a", "ams1", vip("a"))
    for at in range(100):
        host.core.candidate(f"10.0.0.{at}:7946", "mdns", net.now)
    assert len(host.core.links()) == 8
    assert dropped(host, net) == {"candidates_full": 92}


def test_our_own_address_and_those_of_peers_are_no_candidates() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x")
    peer.joins(host)
    for address in (host.address, peer.address):
        host.core.candidate(address, "mdns", net.now)
    assert host.core.links() == {peer.address}
    assert len(host.core.duties.joining.candidates) == 0


def test_the_expired_are_swept_though_nobody_asks_for_them() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a", lifetime_s=10))
    for number in range(100):
        make(net, host, number)
    net.run(15)
    assert len(host.core.duties.cache) == 0
