"""Tests of `core.holders.relay_retention`: what a relay passes on is with its holders, though all of that got lost."""

from __future__ import annotations

from typing import Any

import pytest

from meshcache.core.holders.relay_retention import PART, PAUSES_S
from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.values.limits import Limits
from tests.core.net import Host, Net, make, mesh, sessions, sid, vip

N = 30
KEPT_S = sum(PAUSES_S)


def two_colos(net: Net, nodes: int = 5, **settings: Any) -> tuple[Host, list[Host]]:
    """A node that makes sessions, and the colo that they are passed on in."""
    settings = {"copies": 1, **settings}
    (maker,) = mesh(net, ["a"], reach=REACH_EVERYWHERE, **settings)
    away = mesh(net, [f"z{at}" for at in range(nodes)], "fra1", REACH_EVERYWHERE, **settings)
    net.run(8)
    return maker, away


def relay_of(net: Net, maker: Host) -> Host:
    (peer,) = maker.core.duties.audiences.of_own(maker.core.local_vips()[0].terms).relays
    return net.hosts[peer.name]


def holders(hosts: list[Host], session_id: bytes) -> list[str]:
    return [host.name for host in hosts if host.up and host.core.holds("shop", session_id)]


def kept(host: Host) -> int:
    return len(host.core.duties.relay_retention)


def lose_pushes_in_the_colo(net: Net) -> None:
    net.lose = lambda sender, receiver, payload: sender[0] == receiver[0] == "z" and payload[:2] == b"\x84\x07"


def test_what_all_holders_missed_they_fetch_from_the_relay_which_then_forgets_it() -> None:
    net = Net()
    maker, away = two_colos(net)
    relay = relay_of(net, maker)
    lose_pushes_in_the_colo(net)
    made = [make(net, maker, number) for number in range(1, N + 1)]
    net.run(1)
    assert [holders(away, each) for each in made] == [[relay.name]] * N
    assert 0 < kept(relay) < N, "of some it is the holder itself"
    net.run(KEPT_S + 5)
    terms = maker.core.local_vips()[0].terms
    placed = [list(away[0].core.duties.placement.holders(terms, each)) for each in made]
    assert [holders(away, each) for each in made] == placed
    assert kept(relay) == 0


def test_a_session_whose_only_holder_died_unseen_goes_to_the_next_one() -> None:
    net = Net()
    maker, away = two_colos(net)
    relay = relay_of(net, maker)
    terms = maker.core.local_vips()[0].terms
    made = [sid(number) for number in range(1, N + 1)]
    dying = next(host for host in away if host is not relay)
    his = [each for each in made if relay.core.duties.placement.holders(terms, each) == (dying.name,)]
    assert his
    net.stop(dying.name)
    for number in range(1, N + 1):
        make(net, maker, number)
    net.run(KEPT_S + 10)
    assert {len(holders(away, each)) for each in made} == {1}


def test_nothing_is_let_go_of_while_a_holder_is_silent() -> None:
    net = Net(limits=Limits(lost_s=100.0, suspect_s=3.0))
    maker, away = two_colos(net)
    relay = relay_of(net, maker)
    for host in away:
        if host is not relay:
            net.stop(host.name)
    made = [make(net, maker, number) for number in range(1, N + 1)]
    net.run(KEPT_S + 20)
    assert [holders(away, each) for each in made] == [[relay.name]] * N


def test_nothing_is_let_go_of_while_a_holder_is_heard_and_doesnt_hear() -> None:
    """A cut in one direction: of a thousand worlds one lost sessions to it (seed 1,067 of `copies`)."""
    net = Net()
    maker, away = two_colos(net)
    relay = relay_of(net, maker)
    net.lose = lambda sender, receiver, _: sender == relay.name and receiver[0] == "z"
    made = [make(net, maker, number) for number in range(1, N + 1)]
    net.run(KEPT_S + 15)
    assert kept(relay)
    net.lose = lambda *_: False
    net.run(KEPT_S + 15)
    terms = maker.core.local_vips()[0].terms
    placed = [list(away[0].core.duties.placement.holders(terms, each)) for each in made]
    assert [holders(away, each) for each in made] == placed
    assert kept(relay) == 0


def test_what_the_relay_is_to_hold_by_then_stays() -> None:
    net = Net()
    maker, away = two_colos(net)
    relay = relay_of(net, maker)
    made = [make(net, maker, number) for number in range(1, N + 1)]
    net.run(1)
    for host in away:
        if host is not relay:
            net.stop(host.name)
    net.run(KEPT_S + 10)
    assert [holders(away, each) for each in made] == [[relay.name]] * N
    assert kept(relay) == 0


def test_a_withdraw_and_narrower_terms_take_what_is_kept_too() -> None:
    for narrow in (False, True):
        net = Net()
        maker, away = two_colos(net)
        made = [make(net, maker, number) for number in range(1, N + 1)]
        net.run(1)
        if narrow:
            maker.core.set_vip(vip("a", copies=1), net.now)
        else:
            maker.core.withdraw(net.now, vip="shop")
        net.run(3)
        assert [holders(away, each) for each in made] == [[]] * N
        net.run(KEPT_S)
        assert [holders(away, each) for each in made] == [[]] * N


def test_a_session_that_was_here_before_stays_here() -> None:
    net = Net()
    maker, _ = two_colos(net)
    relay = relay_of(net, maker)
    made = [make(net, maker, number) for number in range(1, N + 1)]
    net.run(KEPT_S + 5)
    placed = relay.core.duties.placement
    stream = next(each for each in relay.core.duties.streams if each.key.origin == "a")
    mine = [each for each in made if placed.is_mine(stream.terms, each)]
    assert mine
    assert all(relay.core.holds("shop", each) for each in mine)


def test_with_push_none_or_all_copies_nothing_is_kept_apart() -> None:
    for settings in ({"copies": 0}, {"push": False}):
        net = Net()
        maker, away = two_colos(net, **settings)
        for number in range(1, N + 1):
            make(net, maker, number)
        net.run(2)
        assert [kept(host) for host in away] == [0] * len(away)


@pytest.mark.parametrize("bound", ["sessions", "quota"])
def test_what_is_more_than_there_is_room_for_is_passed_on_without_being_kept(bound: str) -> None:
    limits = Limits(passed_on_max=5) if bound == "sessions" else Limits()
    net = Net(limits=limits)
    maker, away = two_colos(net, sessions=10_000 if bound == "sessions" else 6 * PART)
    relay = relay_of(net, maker)
    made = [make(net, maker, number) for number in range(1, 3 * N + 1)]
    net.run(1)
    assert kept(relay) <= (5 if bound == "sessions" else 6 * 1024 // 200)
    terms = maker.core.local_vips()[0].terms
    others = sum(not relay.core.duties.placement.is_mine(terms, each) for each in made)
    unkept = {"number" if bound == "sessions" else "quota": others - kept(relay)}
    assert sessions(relay, net)["passed_on_unkept"] == unkept, "and that is counted"
    assert sessions(maker, net)["passed_on_unkept"] == {}
    net.run(KEPT_S + 5)
    assert {len(holders(away, each)) for each in made} == {1}


def test_tiers_write_nothing_of_what_is_only_kept_for_a_while() -> None:
    net = Net()
    maker, _ = two_colos(net)
    relay = relay_of(net, maker)
    filed: list[bytes] = []
    relay.core.duties.cache.call_when_filed(lambda _stream, ids: filed.extend(ids))
    made = [make(net, maker, number) for number in range(1, N + 1)]
    net.run(1)
    assert all(relay.core.holds("shop", each) for each in made)
    terms = maker.core.local_vips()[0].terms
    assert sorted(filed) == sorted(each for each in made if relay.core.duties.placement.is_mine(terms, each))


def test_it_wants_no_step_when_there_is_nothing_and_none_in_the_past() -> None:
    net = Net()
    maker, _ = two_colos(net)
    relay_retention = relay_of(net, maker).core.duties.relay_retention
    assert relay_retention.next_due() == float("inf")
    make(net, maker, 1)
    for _ in range(20):
        net.run(2)
        due = relay_retention.next_due()
        assert due > net.now
