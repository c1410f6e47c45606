"""Tightened terms take copies back: at the node itself, at its peers, and far away by hearsay."""

from __future__ import annotations

from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER
from meshcache.core.values.events import SessionsRecalled
from tests.core.net import Host, Net, has, make, mesh, sessions, vip

OTHER = b"\x09" * 32


def colos() -> tuple[Net, list[Host], bytes]:
    net = Net()
    for colo in ("ams1", "fra1"):
        mesh(net, [f"{colo}-{at}" for at in range(4)], colo, REACH_EVERYWHERE)
    net.run(15)
    hosts = list(net.hosts.values())
    made = make(net, hosts[0], 1)
    net.run(1)
    assert all(has(net, host, made) for host in hosts)
    return net, hosts, made


def test_an_origin_that_narrows_its_reach_takes_back_what_went_further() -> None:
    net, hosts, made = colos()
    hosts[0].core.set_vip(vip("ams1-0", reach=REACH_COLO), net.now)
    net.until(lambda: not any(has(net, host, made) for host in hosts[4:]), within=15)
    assert all(has(net, host, made) for host in hosts[:4])
    assert sum(sessions(host, net)["recalled"] for host in hosts) == 4
    assert [event.sessions for event in hosts[5].happened(SessionsRecalled)] == [1]


def test_a_receiver_that_narrows_its_reach_drops_what_came_from_further() -> None:
    net, hosts, made = colos()
    hosts[5].core.set_vip(vip("fra1-1", "fra1", reach=REACH_COLO), net.now)
    assert not has(net, hosts[5], made)
    net.run(10)
    assert not has(net, hosts[5], made)
    assert sum(has(net, host, made) for host in hosts) == 7


def test_what_was_made_here_stays_here_when_the_reach_narrows() -> None:
    net, hosts, made = colos()
    hosts[0].core.set_vip(vip("ams1-0", reach=REACH_SERVER), net.now)
    net.run(15)
    assert [has(net, host, made) for host in hosts] == [True] + [False] * 7


def test_other_settings_end_all_that_was_made_under_the_old() -> None:
    net, hosts, made = colos()
    for at, host in enumerate(hosts):
        colo = host.colo
        host.core.set_vip(vip(f"{colo}-{at % 4}", colo, reach=REACH_EVERYWHERE, digest=OTHER), net.now)
    net.run(8)
    assert not any(has(net, host, made) for host in hosts)
    again = make(net, hosts[0], 2)
    net.run(1)
    assert all(has(net, host, again) for host in hosts)


def test_an_island_loses_what_it_had_and_gets_nothing_until_it_is_none() -> None:
    net, hosts, made = colos()
    hosts[1].core.set_vip(vip("ams1-1", reach=REACH_EVERYWHERE, digest=OTHER), net.now)
    second = make(net, hosts[0], 2)
    net.run(3)
    assert not has(net, hosts[1], made)
    assert not has(net, hosts[1], second)
    hosts[1].core.set_vip(vip("ams1-1", reach=REACH_EVERYWHERE), net.now)
    net.until(lambda: has(net, hosts[1], made) and has(net, hosts[1], second), within=10)


def test_a_widened_reach_gives_what_was_made_before() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"], reach=REACH_SERVER)
    net.run(3)
    made = make(net, hosts[0], 1)
    net.run(3)
    assert not has(net, hosts[1], made)
    for name, host in zip("ab", hosts, strict=True):
        host.core.set_vip(vip(name), net.now)
    net.until(lambda: has(net, hosts[1], made), within=5)


def test_a_restart_with_a_narrower_reach_recalls_what_its_former_life_gave() -> None:
    net, hosts, made = colos()
    net.stop("ams1-0")
    net.add("ams1-0", "ams1", vip("ams1-0", reach=REACH_COLO), seeds=("ams1-1:7946",))
    net.until(lambda: not any(has(net, host, made) for host in hosts[4:]), within=15)
    assert all(has(net, host, made) for host in hosts[1:4])


def test_certified_sessions_of_others_go_when_they_are_no_longer_welcome() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"], certified=True)
    net.run(3)
    theirs = make(net, hosts[0], 1, client_certificate=True)
    ours = make(net, hosts[1], 2, client_certificate=True)
    net.run(1)
    assert has(net, hosts[1], theirs)
    hosts[1].core.set_vip(vip("b", certified=False), net.now)
    assert not has(net, hosts[1], theirs)
    assert has(net, hosts[1], ours)


def test_a_vip_that_goes_takes_its_streams_along_and_may_come_back() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"])
    net.run(3)
    made = make(net, hosts[0], 1)
    net.run(1)
    hosts[1].core.remove_vip("shop", net.now)
    assert len(hosts[1].core.duties.streams) == 0
    assert len(hosts[1].core.duties.cache) == 0
    net.run(3)
    hosts[1].core.set_vip(vip("b"), net.now)
    net.until(lambda: has(net, hosts[1], made), within=5)


def test_a_vip_that_comes_back_at_its_origin_goes_on_with_its_numbers() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"])
    net.run(3)
    make(net, hosts[0], 1)
    net.run(1)
    hosts[0].core.remove_vip("shop", net.now)
    hosts[0].core.set_vip(vip("a"), net.now)
    net.run(2)
    made = make(net, hosts[0], 2)
    net.run(1)
    assert has(net, hosts[1], made)


def test_a_shorter_lifetime_removes_what_is_older_and_shortens_the_rest() -> None:
    net = Net()
    (host,) = mesh(net, ["a"], lifetime_s=3600)
    old = make(net, host, 1)
    net.run(2000)
    young = make(net, host, 2)
    host.core.set_vip(vip("a", lifetime_s=1000), net.now)
    assert not has(net, host, old)
    assert sessions(host, net)["recalled"] == 1
    net.run(990)
    assert has(net, host, young)
    net.run(20)
    assert not has(net, host, young)


def test_a_session_made_under_a_shorter_lifetime_than_ours_is_not_taken_for_older_than_it_is() -> None:
    net = Net()
    (host,) = mesh(net, ["a"], lifetime_s=7200)
    made = make(net, host, 1, lifetime_s=3600)
    net.run(300)
    host.core.set_vip(vip("a", lifetime_s=1800), net.now)
    assert has(net, host, made)
    net.run(1490)
    assert has(net, host, made)
    net.run(20)
    assert not has(net, host, made)


def test_a_renewal_counts_from_when_it_was_made() -> None:
    net = Net()
    (host,) = mesh(net, ["a"], lifetime_s=3600)
    renewed = make(net, host, 1, born_at=net.now - 5000)
    net.run(500)
    host.core.set_vip(vip("a", lifetime_s=1000), net.now)
    assert has(net, host, renewed)
    net.run(510)
    assert not has(net, host, renewed)


def test_a_shorter_lineage_takes_back_what_was_renewed_for_too_long() -> None:
    net = Net()
    (host,) = mesh(net, ["a"])
    old, young = make(net, host, 1, born_at=net.now - 5000), make(net, host, 2)
    host.core.set_vip(vip("a", lineage_s=4000), net.now)
    assert not host.core.holds("shop", old)
    assert has(net, host, young)
    assert sessions(host, net)["recalled"] == 1
