"""What operators see of the rings: states, ages and names that are cut, and never a secret."""

from __future__ import annotations

import json

from tests.core.net import Net, mesh


def test_a_ring_is_shown_with_its_nodes_and_without_a_secret() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"], rotate_s=600.0)
    net.run(8)
    (shown,) = a.core.tickets.show(net.now)
    assert shown["nodes"] == ["a", "b"]
    assert shown["next_by"] in ("a", "b")
    assert 590 < shown["next_in_s"] < 600
    assert [key["state"] for key in shown["keys"]] == ["encrypts"]
    assert shown["keys"][0]["without"] == []
    held = b.core.tickets.of_vip("shop", net.now)
    assert held is not None
    text = json.dumps(shown) + repr(held)
    for secret in (held.opening[0].reveal(), held.opening[0].derive("aes"), held.opening[0].derive("mac")):
        assert secret.hex()[:8] not in text
        assert repr(secret)[2:10] not in text
