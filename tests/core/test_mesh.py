"""The facade: its contract, and whole meshes that converge."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from meshcache.core.mesh import MeshCore
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, Reach
from meshcache.core.values.topology import Identity
from tests.core.net import Net, Puppet, dropped, has, make, mesh, sid, vip

ME = Identity("test", "me", 1, "ams1", "me:7946", "0")


def core(identity: Identity) -> MeshCore:
    return MeshCore(identity, rng=random.Random(1), now=0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"node": ""},
        {"mesh": "x" * 65},
        {"colo": "a\nb"},
        {"address": "nowhere"},
        {"incarnation": -1},
        {"version": "v" * 33},
    ],
)
def test_an_identity_that_could_not_be_told_is_refused_at_once(wrong: dict[str, object]) -> None:
    core(ME)
    with pytest.raises(ValueError, match=r"."):
        core(replace(ME, **wrong))  # type: ignore[arg-type]


def test_a_message_that_waits_is_due_now() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    Puppet(net, "x").joins(host)
    assert host.core.next_deadline() <= net.now
    host.core.messages_to_send(net.now)
    host.core.handle_timer(net.now)
    host.core.messages_to_send(net.now)
    assert host.core.next_deadline() > net.now


def test_links_are_the_peers_and_the_addresses_that_are_dialled() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    host.core.candidate("seed:1", "seed", net.now)
    Puppet(net, "x").joins(host)
    assert host.core.links() == {"seed:1", "x:7946"}


def test_a_message_that_the_transport_does_not_take_is_counted_once_its_receiver_is_known() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    host.core.candidate("x:7946", "seed", net.now)
    host.core.handle_timer(net.now)
    (hello,) = host.core.messages_to_send(net.now)
    host.core.refused(hello, net.now)
    assert dropped(host, net) == {}, "a seed that isn't up yet is nothing to wonder about"
    Puppet(net, "x").joins(host)
    host.core.refused(hello, net.now)
    assert dropped(host, net) == {"not_sent": 1}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_after_any_faults_every_permitted_node_has_every_session_and_no_other_has_it(seed: int) -> None:
    net = Net(seed)
    reaches = {"ams1": Reach.parse(["fra1"]), "fra1": REACH_EVERYWHERE, "lon1": REACH_COLO}
    for colo, reach in reaches.items():
        mesh(net, [f"{colo}-{at}" for at in range(4)], colo, reach)
    net.run(12)
    faults = random.Random(seed)
    cut = {"on": False}
    net.lose = lambda a, b, _: faults.random() < 0.3 or (cut["on"] and (a[:3] == "ams") != (b[:3] == "ams"))
    makers = {}
    names = sorted(net.hosts)
    for number in range(120):
        cut["on"] = 40 < number < 80
        makers[number] = faults.choice(names)
        make(net, net.hosts[makers[number]], number)
        net.run(0.25)
    assert net.lost > 100
    net.lose = lambda *_: False

    def permitted(maker: str, name: str) -> bool:
        source, target = maker[:4], name[:4]
        return source == target or {source, target} == {"ams1", "fra1"}

    def converged() -> bool:
        return all(
            host.core.holds("shop", sid(number)) or not permitted(maker, name)
            for number, maker in makers.items()
            for name, host in net.hosts.items()
        )

    net.until(converged, within=30)
    net.run(10)
    for number, maker in makers.items():
        for name, host in net.hosts.items():
            assert host.core.holds("shop", sid(number)) is permitted(maker, name), (number, maker, name)


def test_everything_of_a_stopped_mesh_can_be_collected() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"])
    net.run(3)
    made = make(net, hosts[0], 1)
    net.run(1)
    hosts[0].core.leave(net.now)
    net.run(0.1)
    net.stop("a")
    net.run(5)
    assert hosts[1].core.links() <= {"a:7946"}
    assert has(net, hosts[1], made)
