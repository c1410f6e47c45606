"""What duties know of their own node."""

from __future__ import annotations

from tests.core.net import Net, Puppet, vip


def test_one_of_several_is_picked_and_none_of_none() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    for at in range(5):
        Puppet(net, f"x{at}").joins(host)
    local, peers = host.core.duties.local, list(host.core.duties.members)
    assert {local.pick(peers) for _ in range(200)} == set(peers)
    assert local.pick([]) is None


def test_a_later_life_signs_what_is_sent_from_then_on() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    puppet = Puppet(net, "x")
    puppet.joins(host)
    before = host.core.duties.local.identity
    host.core.duties.local.go_on_as(before.incarnation + 7)
    after = host.core.duties.local.identity
    assert (after.incarnation, after.node) == (before.incarnation + 7, before.node)
