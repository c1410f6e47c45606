"""Tests of `core.holders.holdings_readiness`: a node that comes isn't ready before it has what it is to hold."""

from __future__ import annotations

from typing import Any

import cbor2

from meshcache.core.values.limits import Limits
from meshcache.core.wire.messages import Holding
from tests.core.net import Host, Net, Puppet, make, mesh, vip

HOLDING = 24


def ready(host: Host) -> bool:
    return host.core.catch_up.done


def filled(count: int = 5, each: int = 60, **settings: Any) -> tuple[Net, list[Host], list[tuple[Host, bytes]]]:
    """A colo that is ready, and the sessions that each of its nodes made."""
    net = Net(**settings)
    hosts = mesh(net, [f"a{at}" for at in range(count)], copies=3)
    assert net.until(lambda: all(map(ready, hosts))) < 2.5, "who meets joiners alone waits for nobody"
    made = [(host, make(net, host, at * each + number)) for at, host in enumerate(hosts) for number in range(1, each)]
    net.run(5)
    return net, hosts, made


def share_of(name: str, hosts: list[Host], made: list[tuple[Host, bytes]]) -> list[bytes]:
    holders = hosts[0].core.duties.placement.holders
    return [each for host, each in made if name in holders(host.core.local_vips()[0].terms, each)]


def is_holding(payload: bytes) -> bool:
    return bool(cbor2.loads(payload)[0] == HOLDING)


def test_a_node_that_joins_is_ready_when_its_share_of_the_copies_is_here() -> None:
    net, hosts, made = filled()
    (late,) = mesh(net, ["late"], copies=3)
    took = net.until(lambda: not late.core.duties.joining.joining)
    share = share_of("late", hosts, made)
    assert len(share) > 100
    assert not ready(late)
    assert took + net.until(lambda: ready(late)) < 3
    assert all(late.core.holds("shop", each) for each in share)
    net.stop("a1")
    net.run(20)
    assert ready(late), "and stays so, whoever comes or goes"


def test_where_nobody_says_that_it_told_all_a_node_is_ready_after_a_while() -> None:
    net, _, _ = filled(3, 10)
    (late,) = mesh(net, ["late"], copies=3)
    net.lose = lambda _sender, receiver, payload: receiver == "late" and is_holding(payload)
    net.run(Limits().share_s_max - 1)
    assert not ready(late)
    net.run(2)
    assert ready(late)


def test_whose_telling_got_lost_says_it_once_more() -> None:
    net, hosts, made = filled(3, 30, limits=Limits(holdings_s=3.0))
    (late,) = mesh(net, ["late"], copies=3)
    lost: list[str] = []

    def lose(sender: str, receiver: str, payload: bytes) -> bool:
        first = receiver == "late" and is_holding(payload) and not cbor2.loads(payload)[3]["e"] and sender not in lost
        lost.extend([sender] * first)
        return first

    net.lose = lose
    assert 2 < net.until(lambda: ready(late)) < 8
    assert len(lost) == 3
    assert all(late.core.holds("shop", each) for each in share_of("late", hosts, made))


def test_it_is_said_twice_to_each_and_again_when_that_says_something_new_of_itself() -> None:
    net, hosts, _ = filled(3, 3)

    def said() -> int:
        return sum(
            address == "a0:7946" and is_holding(load) and not cbor2.loads(load)[3]["e"]
            for load, address in ((payload, address) for _, address, payload, _ in net.sent)
        )

    net.run(60)
    before = said()
    net.run(60)
    assert said() == before
    hosts[0].core.set_vip(vip("a0", name="pay", copies=3), net.now)
    assert not ready(hosts[0]), "it serves one more"
    net.run(60)
    assert ready(hosts[0])
    assert said() == before + 4


def test_with_all_copies_nobody_waits_and_a_peer_that_has_just_come_is_not_waited_for() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a", copies=2))
    readiness = host.core.duties.holdings_readiness
    others = {"digest": b"\x02" * 32}
    for name, copies, joining in (("b", 0, False), ("c", 2, True), ("odd", 2, False), ("d", 2, False)):
        differs = others if name == "odd" else {}
        Puppet(net, name, "ams1", vip(name, copies=copies, **differs)).joins(host, joining=joining)
        assert readiness.is_reached(fetching=False) == (name != "d"), name
        readiness.begin(net.now)
    assert not readiness.is_reached(fetching=False)
    net.now += Limits().holdings_settle_s
    peer = host.core.duties.members.get("d")
    assert peer is not None
    host.core.duties.holdings.received(peer, Holding(()), net.now)
    assert not readiness.is_reached(fetching=True)
    assert readiness.is_reached(fetching=False)


def test_what_was_said_before_a_peer_can_have_heard_of_this_node_is_not_believed() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a", copies=2))
    Puppet(net, "b", "ams1", vip("b", copies=2)).joins(host)
    peer, readiness = host.core.duties.members.get("b"), host.core.duties.holdings_readiness
    assert peer is not None
    readiness.begin(net.now)
    readiness.peer_told_all(peer, net.now + 0.4 * Limits().holdings_settle_s)
    assert not readiness.is_reached(fetching=False)
    readiness.peer_told_all(peer, net.now + 0.6 * Limits().holdings_settle_s)
    assert readiness.is_reached(fetching=False)


def test_it_wants_no_step_in_the_past() -> None:
    net, hosts, _ = filled(2, 2)
    readiness = hosts[0].core.duties.holdings_readiness
    assert readiness.gives_up_at == float("inf")
    readiness.begin(net.now)
    assert readiness.gives_up_at == net.now + Limits().share_s_max
    readiness.give_up(readiness.gives_up_at)
    assert readiness.gives_up_at == float("inf")


def test_who_comes_while_all_is_told_hears_that_it_was_all_only_behind_the_next_telling() -> None:
    net = Net(limits=Limits(holdings_step=2, holdings_s=3.0))
    (host,) = mesh(net, ["a"], copies=2)
    first, late = (Puppet(net, name, "ams1", vip(name, copies=2)) for name in ("first", "late"))
    first.joins(host)
    made = [make(net, host, number) for number in range(1, 101)]

    def told(peer: Puppet) -> list[bool]:
        return [bool(message.held) for message in peer.hears(Holding)]

    while not any(told(first)):
        assert net.now < 1010
        first.lives(host, 0.1)
    late.joins(host)
    while all(told(first)):
        assert net.now < 1010
        first.lives(host, 0.1, late)
    assert all(told(late)), "the first ones were told before it came"
    while all(told(late)):
        assert net.now < 1020
        first.lives(host, 0.1, late)
    heard = {seq for message in late.hears(Holding) for held in message.held for seq in held.seqs}
    holders, terms = host.core.duties.placement.holders, host.core.local_vips()[0].terms
    assert heard == {seq for seq, each in enumerate(made, 1) if "late" in holders(terms, each)} != set()
