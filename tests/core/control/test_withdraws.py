"""Withdraws: everywhere, once, for as long as anything can be left, and only what they name."""

from __future__ import annotations

import random

from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.values.events import SessionsWithdrawn
from meshcache.core.values.limits import Limits
from meshcache.core.wire.messages import Push, Withdraw
from tests.core.net import Host, Net, Puppet, dropped, make, mesh, sessions, sid, vip


def world(**limits: float) -> tuple[Net, list[Host]]:
    net = Net(limits=Limits(**limits))  # type: ignore[arg-type]
    hosts = mesh(net, ["a", "b", "c", "d"])
    net.run(3)
    return net, hosts


def fill(net: Net, hosts: list[Host]) -> list[bytes]:
    made = [make(net, host, at) for at, host in enumerate(hosts)]
    net.run(3)
    return made


def holding(hosts: list[Host], session_id: bytes, name: str = "shop") -> int:
    return sum(host.core.holds(name, session_id) for host in hosts)


def test_a_vips_sessions_go_on_every_node() -> None:
    net, hosts = world()
    made = fill(net, hosts)
    assert hosts[0].core.withdraw(net.now, vip="shop") == 4
    net.run(0.1)
    assert all(holding(hosts, session_id) == 0 for session_id in made)
    assert [sessions(host, net)["withdrawn"] for host in hosts] == [4] * 4
    assert hosts[2].happened(SessionsWithdrawn)[0].issuer == "a"


def test_the_event_says_in_words_what_was_withdrawn() -> None:
    net, hosts = world()
    made = fill(net, hosts)
    core = hosts[0].core
    core.withdraw(net.now, vip="shop", origin="b")
    core.withdraw_session("shop", made[0], net.now)
    core.withdraw(net.now)
    assert [event.scope for event in hosts[0].happened(SessionsWithdrawn)] == ["vip shop, origin b", "1 session", "all"]


def test_what_is_made_afterwards_lives() -> None:
    net, hosts = world()
    fill(net, hosts)
    hosts[0].core.withdraw(net.now)
    net.run(3.5)
    made = make(net, hosts[1], 99)
    net.run(1)
    assert holding(hosts, made) == 4


def test_a_renewal_of_a_withdrawn_lineage_is_not_taken_even_where_it_is_made() -> None:
    net, hosts = world()
    born_at = net.now
    net.run(5)
    hosts[0].core.withdraw(net.now)
    net.run(5)
    renewed = make(net, hosts[1], 7, born_at=born_at)
    net.run(1)
    assert holding(hosts, renewed) == 0
    assert sessions(hosts[1], net)["refused"] == {"withdrawn": 1}


def test_only_what_all_given_names_fit_goes() -> None:
    net = Net()
    hosts = [
        net.add(
            name,
            "ams1",
            vip(name, name="shop", group="store"),
            vip(name, name="cart", group="store"),
            vip(name, name="blog"),
            seeds=("a:7946",),
        )
        for name in ("a", "b")
    ]
    net.run(3)
    made = {
        (host.name, name): make(net, host, at * 10 + number, name)
        for at, host in enumerate(hosts)
        for number, name in enumerate(("shop", "cart", "blog"))
    }
    net.run(3)

    def left() -> set[tuple[str, str]]:
        return {key for key, session_id in made.items() if holding(hosts, session_id, key[1]) == 2}

    assert left() == set(made)
    hosts[0].core.withdraw(net.now, vip="cart", origin="b")
    net.run(1)
    assert left() == set(made) - {("b", "cart")}
    hosts[1].core.withdraw(net.now, group="store")
    net.run(1)
    assert left() == {("a", "blog"), ("b", "blog")}
    hosts[1].core.withdraw(net.now, origin="a")
    net.run(1)
    assert left() == {("b", "blog")}


def test_one_session_goes_by_its_id_and_an_unknown_id_is_nobodys_to_withdraw() -> None:
    net, hosts = world()
    made = fill(net, hosts)
    assert hosts[3].core.withdraw_session("shop", made[0], net.now)
    assert not hosts[3].core.withdraw_session("shop", sid(12345), net.now)
    net.run(0.5)
    assert [holding(hosts, session_id) for session_id in made] == [0, 4, 4, 4]


def test_who_missed_it_learns_of_it_by_comparing() -> None:
    net, hosts = world()
    made = fill(net, hosts)
    net.lose = lambda _, receiver, __: receiver == "d"
    hosts[0].core.withdraw(net.now, vip="shop")
    net.run(2)
    assert holding(hosts, made[0]) == 1
    net.lose = lambda *_: False
    net.until(lambda: holding(hosts, made[0]) == 0, within=12)


def test_a_joiner_learns_of_it_and_takes_nothing_that_it_fits() -> None:
    net, hosts = world()
    made = fill(net, hosts)
    hosts[3].up = False
    hosts[0].core.withdraw(net.now, vip="shop")
    net.run(3)
    late = mesh(net, ["e"])[0]
    late_peer = Puppet(net, "old", "ams1", vip("old"))
    net.run(3)
    late_peer.joins(late)
    batch = late_peer.batch(1)
    entries = batch.entries._replace(ids=[made[3]], elapsed_s=[60])
    late_peer.says(late, Push(late_peer.batch(1, entries=entries)))
    assert not late.core.holds("shop", made[3])
    assert sessions(late, net)["refused"] == {"withdrawn": 1}


def test_it_is_remembered_no_longer_than_what_it_fits_can_live() -> None:
    net, hosts = world()
    fill(net, hosts)
    hosts[0].core.withdraw(net.now, vip="shop")
    net.run(1)
    assert len(hosts[2].core._inside.withdraws) == 1
    for host in hosts:
        host.core._inside.withdraws.expire(net.now + 3601)
    assert [len(host.core._inside.withdraws) for host in hosts] == [0] * 4


def test_it_crosses_to_other_colos_and_reaches_all_though_half_gets_lost() -> None:
    net = Net()
    for colo in ("ams1", "fra1"):
        mesh(net, [f"{colo}-{at}" for at in range(4)], colo, REACH_EVERYWHERE)
    net.run(15)
    hosts = list(net.hosts.values())
    made = make(net, hosts[0], 1)
    net.run(2)
    faults = random.Random(4)
    net.lose = lambda *_: faults.random() < 0.5
    hosts[1].core.withdraw(net.now, vip="shop")
    net.until(lambda: holding(hosts, made) == 0, within=30)


def test_each_is_passed_on_once() -> None:
    net, hosts = world()
    net.sent.clear()
    hosts[0].core.withdraw(net.now)
    net.run(0.1)
    carried = [payload for _, _, payload, _ in net.sent if payload[1] == 16]
    assert len(carried) <= 3 + 3 * 2


def test_a_hostile_member_can_withdraw_no_faster_than_the_rate_and_no_longer_than_a_session_lives() -> None:
    net = Net(limits=Limits(withdraws_per_s=1, withdraws_burst=5, withdraws_max=8))
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x")
    peer.joins(host)
    for number in range(20):
        peer.says(host, Withdraw("x", 7, number, 0, 3600))
    assert len(host.core._inside.withdraws) == 5
    assert dropped(host, net)["withdraw_refused"] == 15
    peer.says(host, Withdraw("y", 7, 1, 0, 2**32 - 1))
    assert len(host.core._inside.withdraws) == 5
    for number in range(5):
        peer.says(host, Withdraw("z", 7, number, 0, 60))
    assert len(host.core._inside.withdraws) == 8
    assert dropped(host, net)["withdraws_full"] == 2


def test_one_that_is_over_is_ignored() -> None:
    net, hosts = world()
    made = fill(net, hosts)
    peer = Puppet(net, "x")
    peer.joins(hosts[0])
    peer.says(hosts[0], Withdraw("x", 7, 1, 5000, 0))
    assert hosts[0].core.holds("shop", made[0])
