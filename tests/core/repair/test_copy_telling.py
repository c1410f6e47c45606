"""Tests of `core.repair.copy_telling`: what is here is told to those who are to hold it too, and to nobody else."""

from __future__ import annotations

from meshcache.core.policy.gates import REACH_EVERYWHERE
from tests.core.net import Net, make, mesh
from tests.core.repair.colos import N, colo, copies_of, made_by


def test_pushes_that_got_lost_are_made_good_though_nobody_died() -> None:
    net = Net()
    hosts = colo(net)
    net.run(3)
    net.lose = lambda _sender, _receiver, payload: payload[:2] == b"\x84\x07"
    made = [make(net, hosts[0], number) for number in range(1, 1 + N)]
    net.run(0.1)
    assert copies_of(hosts, made) == {1: N}
    net.lose = lambda *_: False
    net.run(8)
    assert copies_of(hosts, made) == {3: N}


def test_a_push_to_the_relay_that_got_lost_is_made_good_in_the_other_colo() -> None:
    net = Net()
    home = colo(net, 4, reach=REACH_EVERYWHERE)
    away = mesh(net, [f"fra1-{at}" for at in range(6)], "fra1", REACH_EVERYWHERE, copies=3)
    net.run(5)
    made = made_by(net, home[1], 1, 20)
    net.lose = lambda sender, receiver, payload: payload[:2] == b"\x84\x07" and sender[:3] != receiver[:3]
    made += made_by(net, home[1], 101, 20)
    net.lose = lambda *_: False
    net.run(40)
    assert copies_of(away, made) == {3: 40}


def test_nobody_elses_numbers_are_told_to_a_node_that_the_gates_refuse() -> None:
    net = Net()
    hosts = colo(net, 4)
    stranger = mesh(net, ["odd"], copies=3, digest=b"\x02" * 32)[0]
    net.run(3)
    made = made_by(net, hosts[0], 1)
    net.run(30)
    assert copies_of([stranger], made) == {0: N}
    to_stranger = [payload for _, address, payload, _ in net.sent if address == stranger.address]
    assert not any(payload[:3] == b"\x84\x18\x18" for payload in to_stranger), "kind 24"
    assert not any(payload[:2] in (b"\x84\x07", b"\x84\x09") for payload in to_stranger)
