"""Rings follow the terms of the VIPs: who is in one with whom, and that a ring nobody serves is wiped at once."""

from __future__ import annotations

from meshcache.core.policy.gates import REACH_EVERYWHERE, REACH_SERVER, anything
from meshcache.core.policy.own_policy import NO_OWN_POLICY
from meshcache.core.policy.ring_id import ring_id
from meshcache.core.tickets.rings import Rings
from meshcache.core.values.events import TicketKeysWiped
from tests.core.net import Host, Net, Puppet, mesh, vip


def rings_of(net: Net, *vips: object) -> tuple[object, Rings]:
    host = net.add("h", "ams1", *vips)  # type: ignore[arg-type]
    rings = host.core.tickets.rings
    rings.follow(net.now)
    return host, rings


def test_vips_of_one_group_and_border_share_a_ring_with_the_strictest_times() -> None:
    first = vip("h", name="one", group="g", rotate_s=600.0, lifetime_s=100.0)
    second = vip("h", name="two", group="g", rotate_s=300.0, lifetime_s=900.0)
    _, rings = rings_of(Net(), first, second, vip("h", name="other", rotate_s=600.0), vip("h", name="none"))
    one = rings.of_vip("one")
    assert one is not None
    assert rings.of_vip("two") is one
    assert (one.vips, one.rotate_s, one.lifetime_s) == ({"one", "two"}, 300.0, 900.0)
    assert rings.of_vip("other") is not one
    assert rings.of_vip("none") is None
    assert len(rings) == 2


def test_only_who_takes_part_is_in_a_ring() -> None:
    net = Net()
    _, rings = rings_of(net, vip("h", rotate_s=600.0), vip("h", name="all", reach=REACH_EVERYWHERE, rotate_s=600.0))
    shop, everywhere = ring_id(vip("h").terms), ring_id(vip("h", name="all", reach=REACH_EVERYWHERE).terms)

    def of(*vips: object, colo: str = "ams1") -> frozenset[bytes]:
        return rings.of_node(Puppet(net, "p", colo, *vips).record)  # type: ignore[arg-type]

    assert of(vip("p", rotate_s=60.0)) == {shop}
    assert of(vip("p")) == frozenset()
    assert of(vip("p", digest=b"\x02" * 32, rotate_s=60.0)) == frozenset()
    assert of(vip("p", "fra1", rotate_s=60.0), colo="fra1") == frozenset()
    far = vip("p", "fra1", "all", reach=REACH_EVERYWHERE, rotate_s=60.0)
    assert of(far, vip("p", "fra1", rotate_s=60.0), colo="fra1") == {everywhere}


def test_a_server_s_own_ring_is_shared_with_nobody_not_even_with_one_of_its_name() -> None:
    net = Net()
    _, rings = rings_of(net, vip("h", reach=REACH_SERVER, rotate_s=600.0))
    assert [ring.shared for ring in rings] == [False]
    assert rings.of_node(Puppet(net, "h", "ams1", vip("h", reach=REACH_SERVER, rotate_s=600.0)).record) == frozenset()


def test_other_terms_are_another_ring_and_the_old_one_s_keys_are_wiped() -> None:
    net = Net()
    host = net.add("h", "ams1", vip("h", rotate_s=600.0))
    net.until(lambda: bool(host.core.tickets.of_vip("shop", net.now).opening))
    old = host.core.tickets.of_vip("shop", net.now)
    assert old is not None
    host.core.set_vip(vip("h", digest=b"\x02" * 32, rotate_s=600.0), net.now)
    new = host.core.tickets.of_vip("shop", net.now)
    assert new is not None
    assert (new.opening, new.encrypting) == ((), None)
    assert all(key.wiped for key in old.opening)
    assert [event.keys for event in host.happened(TicketKeysWiped)] == [1]
    host.core.set_vip(vip("h"), net.now)
    assert host.core.tickets.of_vip("shop", net.now) is None


class Narrow:
    """A policy of an operator's own, whatever it answers."""

    may_send = may_accept = staticmethod(anything)


def test_with_a_policy_of_one_s_own_keys_stay_here_since_it_can_t_be_asked_about_those_who_pass_them_on() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b", "c"], rotate_s=600.0)
    net.run(10)
    shared = hosts[0].core.tickets.of_vip("shop", net.now)
    assert shared is not None
    hosts[0].core.follow(Narrow(), net.now)
    net.run(10)
    own = hosts[0].core.tickets.of_vip("shop", net.now)
    assert own is not None
    assert own.encrypting is not None
    assert {key.name for key in own.opening}.isdisjoint(key.name for key in shared.opening)
    assert hosts[1].core.tickets.show(net.now)[0]["nodes"] == ["b", "c"]
    hosts[0].core.follow(NO_OWN_POLICY, net.now)
    net.run(10)
    again = [host.core.tickets.of_vip("shop", net.now) for host in hosts]
    assert len({found.encrypting.name for found in again if found is not None and found.encrypting is not None}) == 1


def names(host: Host, net: Net) -> list[bytes]:
    """The names of the keys that a host has for the shop."""
    found = host.core.tickets.of_vip("shop", net.now)
    return [] if found is None else [key.name for key in found.opening]


def times(host: Host, net: Net) -> tuple[float, float]:
    """The times for which a host would make the next key."""
    ring = host.core.tickets.rings.of_vip("shop")
    assert ring is not None
    return ring.rotate_s, ring.lifetime_s


def test_a_vip_that_begins_to_give_tickets_is_in_the_ring_and_one_that_ends_it_is_out_of_it() -> None:
    net = Net()
    giving, other = net.add("a", "ams1", vip("a", rotate_s=600.0)), net.add("b", "ams1", vip("b"), seeds=("a:7946",))
    net.run(10)
    assert names(other, net) == []
    assert len(names(giving, net)) == 1
    other.core.set_vip(vip("b", rotate_s=600.0), net.now)
    net.until(lambda: names(other, net) == names(giving, net), within=1)
    told = giving.core.records()
    assert [record.notes[0].tickets for record, _ in told] == [True, True]
    net.run(5)
    assert giving.core.tickets.show(net.now)[0]["nodes"] == ["a", "b"]
    secret = other.core.tickets.of_vip("shop", net.now).opening[0]  # type: ignore[union-attr]
    other.core.set_vip(vip("b"), net.now)
    net.run(0.01)
    assert secret.wiped
    assert len(other.core.tickets.rings) == 0
    assert [event.keys for event in other.happened(TicketKeysWiped)] == [1]
    assert giving.core.tickets.show(net.now)[0]["nodes"] == ["a"]
    net.run(20)
    giving.core.tickets.rotate("shop", net.now)
    net.run(20)
    assert len(names(giving, net)) == 2
    assert names(other, net) == []


def test_both_ends_that_begin_to_give_tickets_have_one_key() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"])
    net.run(10)
    for host in hosts:
        host.core.set_vip(vip(host.name, rotate_s=600.0), net.now)
    net.run(10)
    assert [len(names(host, net)) for host in hosts] == [1, 1]
    assert names(hosts[0], net) == names(hosts[1], net)


def test_other_times_hold_for_the_next_key_and_a_shorter_turn_at_once() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b"], rotate_s=3600.0)
    net.run(90)
    first = names(hosts[0], net)
    for host in hosts:
        host.core.set_vip(vip(host.name, rotate_s=60.0, lifetime_s=600.0), net.now)
    net.until(lambda: len(names(hosts[0], net)) == 2, within=3)
    assert [times(host, net) for host in hosts] == [(60.0, 600.0)] * 2
    key, former = hosts[1].core.tickets.of_vip("shop", net.now).opening  # type: ignore[union-attr]
    assert (key.rotate_s, key.lifetime_s) == (60.0, 600.0)
    assert [former.name] == first
    assert (former.rotate_s, former.lifetime_s) == (3600.0, 3600.0)  # it goes when it was to go
    for host in hosts:
        host.core.set_vip(vip(host.name, rotate_s=600.0, lifetime_s=3600.0), net.now)
    net.run(61)
    assert [times(host, net) for host in hosts] == [(600.0, 3600.0)] * 2
    key = hosts[1].core.tickets.of_vip("shop", net.now).opening[0]  # type: ignore[union-attr]
    assert (key.generation, key.rotate_s, key.lifetime_s) == (3, 600.0, 3600.0)
    net.run(500)
    assert names(hosts[1], net)[0] == key.name


def test_another_quota_changes_no_key_and_is_told_nobody() -> None:
    net = Net()
    (host,) = mesh(net, ["a"], rotate_s=600.0)
    net.run(10)
    revision, before = host.core.duties.vips.record.revision, names(host, net)
    host.core.set_vip(vip("a", rotate_s=600.0, sessions=99), net.now)
    net.run(10)
    assert names(host, net) == before
    assert host.core.duties.vips.record.revision == revision
