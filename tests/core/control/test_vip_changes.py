"""The one place where a node's terms change."""

from __future__ import annotations

import pytest

from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.values.topology import VIPS_MAX
from tests.core.net import Net, has, make, mesh, sessions, sid, vip


def test_terms_have_to_be_this_nodes_own() -> None:
    net = Net()
    host = net.add("a", "ams1")
    for wrong in (vip("b"), vip("a", "fra1")):
        with pytest.raises(ValueError, match="own"):
            host.core.set_vip(wrong, net.now)
    assert host.core.stats(net.now)["vips"] == {}


def test_there_is_a_maximum_and_nothing_changes_beyond_it() -> None:
    net = Net()
    host = net.add("a", "ams1")
    for at in range(VIPS_MAX):
        host.core.set_vip(vip("a", name=f"v{at:02}"), net.now)
    with pytest.raises(ValueError, match="at most"):
        host.core.set_vip(vip("a", name="one-more"), net.now)
    assert len(host.core.stats(net.now)["vips"]) == VIPS_MAX


def test_an_equal_vip_is_no_change_and_tells_nobody() -> None:
    net = Net()
    a, _ = mesh(net, ["a", "b"])
    net.run(3)
    before = a.core.duties.vips.record.revision
    a.core.set_vip(vip("a"), net.now)
    assert a.core.duties.vips.record.revision == before


def test_a_smaller_quota_holds_at_once() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    for number in range(10):
        make(net, host, number)
    host.core.set_vip(vip("a", sessions=4), net.now)
    assert host.core.stats(net.now)["vips"]["shop"]["entries"] == 4
    assert [has(net, host, sid(number)) for number in (5, 6, 9)] == [False, True, True]


def test_counters_outlive_a_vip_that_goes_and_comes_back() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a", sessions=2))
    for number in range(5):
        make(net, host, number)
    host.core.remove_vip("shop", net.now)
    host.core.set_vip(vip("a"), net.now)
    assert sessions(host, net)["made"] == 5
    assert sessions(host, net)["evicted"] == 3


def test_removing_what_is_not_served_does_nothing() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    host.core.remove_vip("blog", net.now)
    assert list(host.core.stats(net.now)["vips"]) == ["shop"]


def test_changed_terms_are_told_at_once() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    a.core.set_vip(vip("a", reach=REACH_EVERYWHERE), net.now)
    net.run(0.01)
    assert b.core.peers(net.now)[0]["vips"][0]["reach"] == "everywhere"
