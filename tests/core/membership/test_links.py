"""Who is linked to whom: all of a colo, two relays in each other colo, and a bridge where nothing may go."""

from __future__ import annotations

import pytest

from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, Reach
from meshcache.core.values.events import PeerLost, PeerSuspect
from tests.core.net import Host, Net, has, make, mesh, vip


def colos(reach: Reach, nodes: int = 5, names: tuple[str, ...] = ("ams1", "fra1")) -> tuple[Net, list[Host]]:
    net = Net()
    for name in names:
        mesh(net, [f"{name}-{at}" for at in range(nodes)], name, reach)
    net.run(20)
    return net, list(net.hosts.values())


def linked(host: Host, net: Net, colo: str) -> list[str]:
    return [peer["name"] for peer in host.core.peers(net.now) if peer["colo"] == colo]


def chosen(host: Host) -> frozenset[str]:
    return host.core.duties.links.wanted


@pytest.mark.slow
def test_a_colo_is_a_full_mesh_and_each_node_chooses_two_in_another() -> None:
    net, hosts = colos(REACH_EVERYWHERE)
    for host in hosts:
        assert len(linked(host, net, host.colo)) == 4
        assert len(chosen(host)) == 2


def test_a_link_is_kept_by_both_if_either_wants_it() -> None:
    net, hosts = colos(REACH_EVERYWHERE)
    for host in hosts:
        for name in chosen(host):
            assert host.name in linked(net.hosts[name], net, host.colo)


def test_where_nothing_may_go_one_node_of_each_colo_keeps_one_link() -> None:
    _net, hosts = colos(REACH_COLO)
    between = [(host.name, name) for host in hosts for name in chosen(host)]
    assert len(between) == 2
    assert {name[:4] for name, _ in between} == {"ams1", "fra1"}


def test_a_colo_s_only_node_of_a_ring_of_ticket_keys_is_linked_to_by_all_of_the_ring() -> None:
    """Else a key would encrypt where nobody can tell that this node hasn't it (seed 589 of the simulator's rings)."""
    net = Net()
    near = mesh(net, [f"ams1-{at}" for at in range(6)], "ams1", REACH_EVERYWHERE, rotate_s=600.0)
    mesh(net, [f"fra1-{at}" for at in range(5)], "fra1", Reach.parse(["ams1", "fra1"]), rotate_s=600.0)
    mesh(net, ["fra1-x"], "fra1", REACH_EVERYWHERE, rotate_s=600.0)
    net.run(20)
    for host in near:
        assert "fra1-x" in chosen(host)
        assert len(chosen(host)) <= 3


def test_a_colo_s_only_node_of_a_vip_is_linked_to_by_all_who_serve_it_and_is_pushed_what_they_make() -> None:
    """The two that are best for another VIP of ours couldn't pass on what is made for this one."""
    net = Net()

    def serving(name: str, colo: str, *names: str) -> Host:
        return net.add(
            name, colo, *(vip(name, colo, each, reach=REACH_EVERYWHERE) for each in names), seeds=("a0:7946",)
        )

    near = [serving(f"a{at}", "ams1", "pay", "shop") for at in range(5)]
    for at in range(5):
        serving(f"f{at}", "fra1", "shop")
    only = serving("fx", "fra1", "pay", "shop")
    net.run(20)
    for host in near:
        assert "fx" in chosen(host)
        assert len(chosen(host)) <= 3
    for number, host in enumerate(near):
        made = make(net, host, number, "pay")
        net.until(lambda made=made: has(net, only, made, "pay"), within=0.5)


def test_all_of_the_mesh_is_known_everywhere_without_being_linked() -> None:
    _net, hosts = colos(REACH_COLO)
    for host in hosts:
        other = "fra1" if host.colo == "ams1" else "ams1"
        assert len(host.core.duties.roster.records(other)) == 5


@pytest.mark.slow
def test_links_that_nobody_needs_end_without_suspicion() -> None:
    net, hosts = colos(REACH_EVERYWHERE, nodes=8)
    net.run(20)
    assert all(len(linked(host, net, "fra1" if host.colo == "ams1" else "ams1")) < 8 for host in hosts)
    assert not any(host.happened(PeerSuspect) or host.happened(PeerLost) for host in hosts)


def test_the_next_best_is_dialled_when_a_relay_is_lost() -> None:
    net, hosts = colos(REACH_EVERYWHERE)
    gone = min(chosen(hosts[0]))
    net.stop(gone)
    net.run(15)
    alive = [name for name in chosen(hosts[0]) if net.hosts[name].up]
    assert len(alive) == 2
    assert all(name in linked(hosts[0], net, "fra1") for name in alive)


@pytest.mark.slow
def test_a_restarted_relay_is_taken_back() -> None:
    net, hosts = colos(REACH_EVERYWHERE)
    before = chosen(hosts[0])
    gone = min(before)
    net.stop(gone)
    net.run(15)
    mesh(net, [gone], "fra1", REACH_EVERYWHERE)
    net.run(15)
    assert before <= chosen(hosts[0])


def test_nodes_of_a_colo_that_know_only_a_seed_elsewhere_find_each_other() -> None:
    net = Net()
    mesh(net, ["ams1-0"], "ams1")
    hosts = mesh(net, ["fra1-0", "fra1-1", "fra1-2"], "fra1")
    net.until(lambda: all(len(linked(host, net, "fra1")) == 2 for host in hosts), within=8.0)
