"""Withdraws: everywhere, once, for as long as anything can be left, and only what they name."""

from __future__ import annotations

import random

import pytest

from meshcache.core.control.withdraws import REMEMBERED_S
from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.values.events import SessionsWithdrawn
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import LIFETIME_S_MAX_TLS13, LINEAGE_S_MAX
from meshcache.core.wire.messages import Fetch, FetchEnd, FetchReply, Push, Withdraw
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
    net.run(2.1)
    made = make(net, hosts[1], 99)
    net.run(1)
    assert holding(hosts, made) == 4


def test_a_client_that_shakes_hands_at_once_after_a_withdraw_resumes_where_it_did() -> None:
    net, hosts = world()
    fill(net, hosts)
    hosts[0].core.withdraw(net.now)
    net.run(0.01)
    made = make(net, hosts[0], 98), make(net, hosts[1], 99)
    assert hosts[0].core.holds("shop", made[0])
    assert hosts[1].core.holds("shop", made[1])


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


def test_it_is_remembered_for_the_longest_life_that_any_policy_gives_and_no_longer() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b", "c", "d"], lifetime_s=60, lineage_s=60)
    net.run(3)
    fill(net, hosts)
    hosts[0].core.withdraw(net.now, vip="shop")
    net.run(1)
    for host in hosts:
        host.core.duties.withdraws.expire(net.now + LINEAGE_S_MAX)
    assert [len(host.core.duties.withdraws) for host in hosts] == [1] * 4
    for host in hosts:
        host.core.duties.withdraws.expire(net.now + REMEMBERED_S)
    assert [len(host.core.duties.withdraws) for host in hosts] == [0] * 4


@pytest.mark.parametrize("lifetime_s", [3600, 60])
def test_a_node_that_was_cut_off_for_longer_than_a_lifetime_brings_nothing_back(lifetime_s: float) -> None:
    """Renewals carry a lineage on for a day, on a node that never heard of the withdraw."""
    net = Net(limits=Limits(forget_s=30_000, heartbeat_s=60, probe_after_s=90, suspect_s=180, lost_s=480, sweep_s=60))
    a, b = mesh(net, ["a", "b"])
    net.run(200)
    born_at = net.now
    make(net, a, 1)
    net.run(5)
    assert holding([a, b], sid(1)) == 2
    net.lose = lambda *_: True
    net.run(500)
    if lifetime_s < 3600:
        a.core.set_vip(vip("a", lifetime_s=lifetime_s), net.now)
    a.core.withdraw(net.now, vip="shop")
    for number in (2, 3):
        net.run(2250)
        make(net, b, number, born_at=born_at)
    net.lose = lambda *_: False
    net.until(lambda: len(b.core.duties.withdraws) == 1, within=1200)
    net.run(60)
    assert [holding([a, b], sid(number)) for number in (1, 2, 3)] == [0, 0, 0]
    assert sessions(a, net)["received"] == 0


def test_one_session_is_withdrawn_for_longer_than_its_copy_here_would_have_lived() -> None:
    net = Net()
    short, long = net.add("a", "ams1", vip("a", lifetime_s=60)), net.add("b", "ams1", vip("b"), seeds=("a:7946",))
    net.run(3)
    made = make(net, long, 1)
    net.run(1)
    net.lose = lambda *_: True
    assert short.core.withdraw_session("shop", made, net.now)
    net.run(120)
    net.lose = lambda *_: False
    net.until(lambda: holding([short, long], made) == 0, within=30)


def test_a_withdraw_that_is_repeated_takes_the_place_of_the_one_before() -> None:
    net, hosts = world()
    for _ in range(5):
        hosts[0].core.withdraw(net.now, vip="shop")
        net.run(6)
        hosts[1].core.withdraw(net.now, vip="shop", origin="a")
        net.run(6)
    assert [len(host.core.duties.withdraws) for host in hosts] == [2] * 4
    hosts[2].core.withdraw(net.now)
    net.run(1)
    assert [len(host.core.duties.withdraws) for host in hosts] == [1] * 4
    assert len({host.core.duties.withdraws.digest() for host in hosts}) == 1


def test_two_of_one_scope_at_the_same_moment_end_the_same_everywhere() -> None:
    net, hosts = world()
    for host in hosts:
        host.core.withdraw(net.now, vip="shop")
    net.run(12)
    assert [len(host.core.duties.withdraws) for host in hosts] == [1] * 4
    assert len({host.core.duties.withdraws.digest() for host in hosts}) == 1


def test_nobody_can_use_up_a_withdraw_before_its_issuer_has_made_it() -> None:
    net, hosts = world()
    made = fill(net, hosts)
    liar = Puppet(net, "x")
    liar.joins(hosts[1])
    hosts[0].core.withdraw(net.now, vip="shop")
    number = hosts[0].core.withdraws.number
    liar.says(hosts[1], Withdraw("a", 1, number, 0, 3600, "another"))
    net.run(0.5)
    assert holding(hosts, made[0]) == 0


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


def test_a_hostile_member_can_withdraw_no_faster_than_the_rate() -> None:
    net = Net(limits=Limits(withdraws_per_s=1, withdraws_burst=5))
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x")
    peer.joins(host)
    for number in range(20):
        peer.says(host, Withdraw("x", 7, number, 0, 3600, f"vip-{number}"))
    assert len(host.core.duties.withdraws) == 5
    assert dropped(host, net)["withdraw_refused"] == 15


def test_where_there_is_no_room_for_another_everything_is_withdrawn_and_nothing_comes_back() -> None:
    net = Net(limits=Limits(withdraws_burst=100, withdraws_max=8))
    host, other = mesh(net, ["a", "b"])
    net.run(3)
    make(net, host, 1)
    peer = Puppet(net, "x")
    peer.joins(host)
    for number in range(8):
        peer.says(host, Withdraw("x", 7, number, 0, 3600, f"vip-{number}"))
    net.run(1)
    assert holding([host, other], sid(1)) == 2
    peer.says(host, Withdraw("x", 7, 9, 0, 3600, "one-more"))
    net.run(1)
    assert holding([host, other], sid(1)) == 0
    assert dropped(host, net)["withdraws_full"] >= 1
    assert 1 <= len(host.core.duties.withdraws) <= 8
    assert host.core.withdraw(net.now, vip="shop") == 0


def test_one_that_is_over_is_ignored() -> None:
    net, hosts = world()
    made = fill(net, hosts)
    peer = Puppet(net, "x")
    peer.joins(hosts[0])
    peer.says(hosts[0], Withdraw("x", 7, 1, int(REMEMBERED_S), 0))
    assert hosts[0].core.holds("shop", made[0])
    assert len(hosts[0].core.duties.withdraws) == 0


def test_older_versions_are_told_of_no_more_than_they_take() -> None:
    net, hosts = world()
    peer = Puppet(net, "x")
    peer.joins(hosts[0])
    hosts[0].core.withdraw(net.now)
    assert [told.remaining_s for told in peer.hears(Withdraw)] == [LIFETIME_S_MAX_TLS13]


def test_what_a_new_peer_says_before_the_way_is_measured_may_be_older_than_a_withdraw() -> None:
    """It heard us while its words waited for a cut to heal: they come all at once, the hello first."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    host.core.withdraw(net.now, vip="shop")
    net.run(20)
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    peer.says(host, Push(peer.batch(1)))
    assert not host.core.holds("shop", sid(1))
    assert dropped(host, net) == {"in_doubt": 1}
    peer.answers(host)
    peer.says(host, Push(peer.batch(2)))
    assert host.core.holds("shop", sid(2))
    while not peer.hears(Fetch) and net.now < 1060:
        peer.lives(host, 0.1)
    (asked,) = peer.hears(Fetch)
    assert asked.ranges == ((1, 1),), "what was in doubt is fetched, and may be new"
    peer.says(host, FetchReply(asked.token, peer.batch(1), FetchEnd.DONE))
    assert host.core.holds("shop", sid(1))


def test_two_nodes_that_both_want_to_hear_all_again_tell_each_other() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"])
    net.run(6)
    hosts[0].core.withdraw(net.now, vip="shop")
    net.run(12)
    tables = [host.core.duties.withdraws for host in hosts]
    told = tables[0].digest()
    assert tables[1].digest() == told
    for table in tables:
        table.doubt(net.now)
    assert len({told, *(table.digest() for table in tables)}) == 3
    net.until(lambda: [table.digest() for table in tables] == [told, told], within=3)


@pytest.mark.parametrize("waited_s", [0.5, 1.9, 2.1, 30.0, 40_000.0])
def test_whoever_was_born_later_than_it_says_need_not_be_asked_about(waited_s: float) -> None:
    net, (host, *_) = world()
    withdraws, terms = host.core.withdraws, host.core.duties.vips.terms[0]
    assert withdraws.new_after(terms, net.now) == float("-inf")
    host.core.withdraw(net.now, vip="blog")
    assert withdraws.new_after(terms, net.now) == float("-inf"), "another VIP's"
    host.core.withdraw(net.now, vip="shop")
    issued_at, now = net.now, net.now + waited_s
    after = withdraws.new_after(terms, now)
    assert issued_at + 2 <= after < issued_at + 11
    for born_at in (issued_at, after - 0.001, after, after + 0.001, now - 0.001):
        assert withdraws.refuses_new(terms, sid(1), born_at, now) == (born_at <= after and born_at < now)


def test_of_single_sessions_and_of_many_withdraws_it_does_not_say() -> None:
    net, (host, *_) = world(withdraws_per_s=1000.0)
    withdraws, terms = host.core.withdraws, host.core.duties.vips.terms[0]
    for number in range(17):
        assert withdraws.new_after(terms, net.now + 100) < net.now + 100
        host.core.withdraw(net.now, vip=f"vip-{number}")
    assert withdraws.new_after(terms, net.now + 100) == float("inf")
    net, (host, *_) = world()
    made = make(net, host, 1)
    host.core.withdraw_session("shop", made, net.now)
    assert host.core.withdraws.new_after(terms, net.now + 100) == float("inf")
