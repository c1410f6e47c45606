"""The outlet as the assembly implements it: what one duty sees, another acts on."""

from __future__ import annotations

from typing import get_type_hints

from meshcache.core.state.outlet import Outlet
from meshcache.core.wire.messages import Digest, Ping
from tests.core.net import Net, Puppet, mesh


def test_the_assembly_has_every_method_of_the_outlet_with_its_types() -> None:
    net = Net()
    (host,) = mesh(net, ["me"])
    duties = host.core.duties
    wanted = {name for name in vars(Outlet) if not name.startswith("_")}
    assert "vip_added" in wanted
    for name in wanted:
        assert get_type_hints(getattr(type(duties), name)) == get_type_hints(getattr(Outlet, name))


def test_a_peer_that_joins_is_measured_and_compared_with() -> None:
    net = Net()
    (host,) = mesh(net, ["me"])
    puppet = Puppet(net, "x")
    puppet.joins(host)
    net.run(0.05)
    assert puppet.hears(Ping)
    assert puppet.hears(Digest)


def test_doubt_about_a_peer_makes_the_next_comparison_due_soon() -> None:
    net = Net()
    host, _ = mesh(net, ["me", "other"])
    net.run(2)
    duties = host.core.duties
    before = duties.anti_entropy.next_due()
    duties.peer_doubted(net.now)
    assert duties.anti_entropy.next_due() < before
