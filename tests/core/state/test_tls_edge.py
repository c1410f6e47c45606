"""Tests of what the core asks of the TLS edge: when, and of an edge that keeps nothing."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from meshcache.core.state.tls_edge import NoTlsEdge, TlsEdge
from meshcache.core.wire.messages import Pull
from meshcache.runtime.vip_ports.ports import Ports
from tests.core.net import Net, Puppet, mesh, sid, vip


@pytest.mark.parametrize("edge", [NoTlsEdge, Ports])
def test_both_edges_have_every_method_with_its_types(edge: type) -> None:
    wanted = {name for name in vars(TlsEdge) if not name.startswith("_")}
    assert wanted == {"settle", "claim_of", "ticket_keys_changed"}
    for name in wanted:
        assert get_type_hints(getattr(edge, name)) == get_type_hints(getattr(TlsEdge, name))


def test_an_edge_that_is_none_knows_no_id() -> None:
    assert NoTlsEdge().claim_of(sid(1)) is None


def test_the_core_has_it_settled_before_it_looks_gives_or_takes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    (host,) = mesh(net, ["me"])
    puppet = Puppet(net, "x", "ams1", vip("x"))
    puppet.joins(host)
    settled: list[bool] = []
    monkeypatch.setattr(host.edge, "settle", lambda: settled.append(True))
    puppet.says(host, Pull(1, "shop", sid(1)))
    assert settled == [True]


def test_it_hears_of_ticket_keys_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", rotate_s=3600.0))
    heard: list[bool] = []
    monkeypatch.setattr(host.edge, "ticket_keys_changed", lambda: heard.append(True))
    net.run(30)
    made = len(heard)
    assert made
    host.core.withdraw(net.now, vip="shop")
    assert len(heard) > made
