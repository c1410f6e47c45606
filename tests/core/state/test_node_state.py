"""What duties share."""

from __future__ import annotations

from meshcache.core.values.drops import Drop
from tests.core.net import Net, Puppet, dropped, vip


def test_one_of_several_is_picked_and_none_of_none() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    for at in range(5):
        Puppet(net, f"x{at}").joins(host)
    state = host.core._state
    peers = list(state.members)
    assert {state.pick(peers) for _ in range(200)} == set(peers)
    assert state.pick([]) is None


def test_drops_add_up_by_reason() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    host.core._state.drop(Drop.FLOOD)
    host.core._state.drop(Drop.FLOOD, 4)
    assert dropped(host, net) == {"flood": 5}
