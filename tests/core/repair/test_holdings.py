"""Tests of `core.repair.holdings`, and of copies as a whole: who holds what, after pushes, deaths, joins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.values.limits import Limits
from tests.core.net import Host, Net, Puppet, mesh, sessions, vip
from tests.core.repair.colos import N, colo, copies_of, holders, made_by


def test_a_session_is_with_its_maker_and_so_many_others_less_one_and_each_has_its_share() -> None:
    net = Net()
    hosts = colo(net)
    net.run(3)
    made = made_by(net, hosts[0], 1)
    assert copies_of(hosts, made) == {3: N}
    assert all(host.core.holds("shop", each) for each in made for host in hosts[:1])
    shares = [sum(host.core.holds("shop", each) for each in made) for host in hosts[1:]]
    assert all(0.5 * 2 * N / 6 < share < 1.7 * 2 * N / 6 for share in shares), shares
    net.run(30)
    assert copies_of(hosts, made) == {3: N}
    assert sum(sessions(host, net)["repaired"] for host in hosts) == 0


def test_with_fewer_nodes_than_copies_everybody_has_it() -> None:
    net = Net()
    hosts = colo(net, 2)
    net.run(3)
    assert copies_of(hosts, made_by(net, hosts[0], 1)) == {2: N}


def test_copies_are_whole_again_after_two_deaths_at_once_and_no_session_is_lost() -> None:
    net = Net()
    hosts = colo(net)
    net.run(3)
    made = [each for at in range(7) for each in made_by(net, hosts[at], 1 + at * N, 50)]
    before = sum(sessions(host, net)["repaired"] for host in hosts)
    for name in ("ams1-1", "ams1-2"):
        net.stop(name)
    assert min(copies_of(hosts, made)) >= 1
    net.run(25)
    assert copies_of(hosts, made) == {3: len(made)}
    moved = sum(sessions(host, net)["repaired"] for host in hosts if host.up) - before
    lacking = sum(3 - len(holders(hosts, each)) for each in made)
    assert lacking == 0
    assert moved <= 2 * 3 * len(made) / 7, "what the two held, and nothing else"
    assert sum(sessions(host, net)["duplicate"] for host in hosts if host.up) <= 0.05 * moved


def test_who_joins_gets_its_share_and_nothing_else() -> None:
    net = Net()
    hosts = colo(net)
    net.run(3)
    made = made_by(net, hosts[0], 1)
    hosts += mesh(net, ["ams1-7"], copies=3)
    net.run(20)
    share = sum(hosts[-1].core.holds("shop", each) for each in made)
    placed = hosts[0].core.duties.placement
    terms = hosts[0].core.local_vips()[0].terms
    assert share == sum("ams1-7" in placed.holders(terms, each) for each in made) > 20
    assert sessions(hosts[-1], net)["received"] == share
    assert all(len(holders(hosts, each)) >= 3 for each in made)


def test_a_dead_makers_sessions_are_held_by_as_many_as_before() -> None:
    net = Net()
    hosts = colo(net)
    net.run(3)
    made = made_by(net, hosts[0], 1)
    net.stop("ams1-0")
    net.run(25)
    assert copies_of(hosts, made) == {3: N}


def test_each_colo_that_the_reach_allows_gets_as_many_and_push_none_keeps_them_at_home() -> None:
    for push, abroad in ((True, 3), (False, 0)):
        net = Net()
        home = colo(net, 5, reach=REACH_EVERYWHERE, push=push)
        away = mesh(net, [f"fra1-{at}" for at in range(6)], "fra1", REACH_EVERYWHERE, copies=3, push=push)
        net.run(5)
        made = made_by(net, home[1], 1)
        net.run(35)  # the relay keeps what it passes on for half a minute
        assert copies_of(home, made) == {3: N}
        assert copies_of(away, made) == {abroad: N}


def test_reach_colo_keeps_every_copy_in_its_colo() -> None:
    net = Net()
    home = colo(net, 4)
    away = mesh(net, [f"fra1-{at}" for at in range(4)], "fra1", copies=3)
    net.run(5)
    made = made_by(net, home[0], 1)
    net.run(20)
    assert copies_of(home, made) == {3: N}
    assert copies_of(away, made) == {0: N}


def test_where_nodes_of_a_group_differ_each_ones_own_number_holds_for_what_it_made() -> None:
    net = Net()
    hosts = [*colo(net, 3, 2), *mesh(net, ["ams1-3", "ams1-4"], copies=0)]
    net.run(3)
    few, all_of_them = made_by(net, hosts[0], 1), made_by(net, hosts[3], 1001)
    net.run(20)
    assert copies_of(hosts, few) == {2: N}
    assert copies_of(hosts, all_of_them) == {5: N}
    told = {peer["name"]: peer["vips"][0]["copies"] for peer in hosts[0].core.peers(net.now)}
    assert told["ams1-1"] == 2
    assert told["ams1-3"] == "all"


def test_a_withdraw_reaches_every_holder_and_works_where_the_session_isnt() -> None:
    net = Net()
    hosts = colo(net)
    net.run(3)
    made = made_by(net, hosts[0], 1, 20)
    outsider = next(host for host in hosts if not host.core.holds("shop", made[0]))
    assert outsider.core.withdraw_session("shop", made[0], net.now)
    net.run(1)
    assert holders(hosts, made[0]) == []
    outsider.core.withdraw(net.now, vip="shop")
    net.run(40)
    assert copies_of(hosts, made) == {0: 20}


def test_all_again_gives_everybody_everything() -> None:
    net = Net()
    hosts = colo(net, 5)
    net.run(3)
    made = made_by(net, hosts[0], 1)
    for host in hosts:
        host.core.set_vip(vip(host.name), net.now)
    net.run(40)
    assert copies_of(hosts, made) == {5: N}


def changed(net: Net, hosts: list[Host], copies: int, push: bool = True) -> None:
    """Let an operator say on all nodes how many copies there are to be; time passes for all to hear it."""
    for host in hosts:
        (served,) = host.core.local_vips()
        host.core.set_vip(replace(served, terms=replace(served.terms, copies=copies, push=push)), net.now)
    net.run(1)


def test_another_number_of_copies_holds_for_what_is_made_then_and_more_are_made_of_what_was() -> None:
    net = Net()
    near = colo(net, 5, 0, REACH_EVERYWHERE)
    far = mesh(net, [f"fra1-{at}" for at in range(4)], "fra1", REACH_EVERYWHERE)
    hosts = near + far
    net.run(4)

    def made(first: int) -> list[bytes]:
        return [each for at, host in enumerate(hosts) for each in made_by(net, host, first + at * 8, 8)]

    of_all = made(1)
    changed(net, hosts, 2)
    of_two = made(1001)
    for side in (near, far):
        assert set(copies_of(side, of_two)) <= {2, 3}, "a relay keeps for a while what it passes on"
    assert (copies_of(near, of_all), copies_of(far, of_all)) == ({5: 72}, {4: 72}), "they stay until they end"
    changed(net, hosts, 3)
    net.run(20)
    assert min(copies_of(near, of_two)) == min(copies_of(far, of_two)) == 3
    changed(net, hosts, 1, push=False)
    of_one = made(2001)
    assert copies_of(near, of_one) == {1: 40, 0: 32}
    net.run(20)
    assert copies_of(far, of_one) == {1: 32, 0: 40}
    changed(net, hosts, 0)
    for all_of in (of_two, of_one, made(3001)):
        net.run(20)
        assert (copies_of(near, all_of), copies_of(far, all_of)) == ({5: 72}, {4: 72})
    moved = sum(sessions(host, net)["repaired"] for host in hosts)
    net.run(30)
    assert sum(sessions(host, net)["repaired"] for host in hosts) == moved, "and that is the end of it"


def test_copies_of_a_maker_that_is_forgotten_are_kept_though_no_node_that_is_here_wants_few() -> None:
    net = Net(limits=Limits(forget_s=15))
    hosts = colo(net, 6)
    net.run(3)
    made = made_by(net, hosts[5], 1)
    net.stop("ams1-5")
    net.run(30)
    assert copies_of(hosts, made) == {3: N}
    for host in hosts[:5]:
        host.core.set_vip(vip(host.name), net.now)
    net.run(5)
    net.stop("ams1-4")
    net.run(30)
    assert copies_of(hosts, made) == {3: N}
    hosts += mesh(net, ["ams1-6"])
    net.run(30)
    assert sum(hosts[-1].core.holds("shop", each) for each in made) > 20, "who comes gets its share"
    assert min(copies_of(hosts, made)) == 3


@pytest.mark.parametrize("step", [512, 2])
def test_a_dead_holders_share_is_made_good_though_somebody_changes_all_the_time(step: int) -> None:
    """A step is all there is to tell, or a hundredth of it: changes come before a pass begins, and while it goes on."""
    net = Net(limits=Limits(holdings_step=step))
    hosts = colo(net, 4, 2)
    net.run(3)
    made = made_by(net, hosts[0], 1)
    net.stop("ams1-1")
    assert 0 < copies_of(hosts, made)[1] < N
    restless = Puppet(net, "restless", "ams1", vip("restless", name="blog"))
    for _ in range(60):
        restless.revision += 1
        for host in (hosts[0], *hosts[2:]):
            restless.joins(host)
        net.run(0.5)
    assert copies_of(hosts, made) == {2: N}
