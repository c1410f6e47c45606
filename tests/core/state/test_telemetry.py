"""What duties tell."""

from __future__ import annotations

from meshcache.core.values.drops import Drop
from tests.core.net import Net, dropped, vip


def test_drops_add_up_by_reason() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    host.core.duties.telemetry.drop(Drop.FLOOD)
    host.core.duties.telemetry.drop(Drop.FLOOD, 4)
    assert dropped(host, net) == {"flood": 5}
