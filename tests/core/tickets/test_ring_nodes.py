"""Who of a ring's nodes counts as having a key: each by its own word, and of another colo the whole of it."""

from __future__ import annotations

from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.tickets.ring import Ring
from meshcache.core.wire.messages import Leave
from meshcache.core.wire.ticket_messages import HeldKey, RingStatus, TicketStatus
from tests.core.net import Host, Net, Puppet, vip

FAR = {"reach": REACH_EVERYWHERE, "rotate_s": 600.0}


def stage() -> tuple[Net, Host, Puppet, Puppet, Ring]:
    net = Net()
    host = net.add("h", "ams1", vip("h", **FAR))
    near, far = Puppet(net, "near", "ams1", vip("near", **FAR)), Puppet(net, "far", "fra1", vip("far", "fra1", **FAR))
    near.joins(host, joining=True)
    far.joins(host, joining=True)
    host.core.tickets.tick(net.now)
    ring = host.core.tickets.of_vip("shop", net.now)
    assert ring is not None
    host.core.tickets.rotate("shop", net.now)
    return net, host, near, far, ring.ring


def says(host: Host, puppet: Puppet, ring: Ring, *held: HeldKey, spread: bytes = b"") -> None:
    puppet.says(host, TicketStatus((RingStatus(ring.id, held, spread),)))


def test_a_node_of_this_colo_has_what_it_says_and_one_elsewhere_what_all_of_its_colo_have() -> None:
    _, host, near, far, ring = stage()
    nodes, key = host.core.tickets.nodes, ring.keys[0]
    own = HeldKey(key.generation, key.name)
    assert nodes.without(ring, key) == ["far", "near"]
    says(host, near, ring, own)
    says(host, far, ring, own)
    assert nodes.without(ring, key) == ["far"]
    assert nodes.near_have(ring, key)
    says(host, far, ring, own, spread=key.name)
    assert nodes.without(ring, key) == []


def test_who_has_a_higher_key_that_isn_t_here_yet_is_waited_for() -> None:
    _, host, near, _, ring = stage()
    nodes, key = host.core.tickets.nodes, ring.keys[0]
    says(host, near, ring, HeldKey(key.generation, key.name), HeldKey(key.generation + 1, b"x" * 16))
    assert not nodes.near_have(ring, key)
    says(host, near, ring, HeldKey(key.generation, key.name), HeldKey(key.generation - 1, b"x" * 16))
    assert nodes.near_have(ring, key)


def test_all_agree_on_whose_turn_it_is() -> None:
    _, host, _, _, ring = stage()
    nodes = host.core.tickets.nodes
    assert nodes.others(ring) == {"near", "far"}
    assert nodes.in_turn(ring, {"near", "far"}) == nodes.in_turn(ring, {"far", "near", "h"})


def test_a_turn_is_found_again_when_a_node_comes_goes_or_changes_its_terms() -> None:
    net, host, near, far, ring = stage()
    nodes = host.core.tickets.nodes

    def turn() -> tuple[int, bool]:
        return nodes.in_turn(ring, nodes.others(ring)).index("h"), bool(nodes.others(ring))

    assert nodes.turn(ring) == turn()
    later = Puppet(net, "later", "ams1", vip("later", **FAR))
    later.joins(host)
    assert "later" in nodes.others(ring)
    assert nodes.turn(ring) == turn()
    for puppet in (near, far, later):
        puppet.says(host, Leave())
        assert nodes.turn(ring) == turn()
    assert not {"near", "later"} & nodes.others(ring)


def test_vips_of_a_group_are_found_again_when_somebody_serves_another() -> None:
    net, host, _, _, ring = stage()
    nodes = host.core.tickets.nodes
    assert nodes.vips_of(ring) == {"shop"}
    Puppet(net, "other", "ams1", vip("other", name="mail", group="shop", **FAR)).joins(host)
    assert nodes.vips_of(ring) == {"shop", "mail"}
