"""Tickets across real nodes: one ring, whatever is withdrawn ends, and every count is where an operator looks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshcache import MeshNode
from meshcache.core import mesh
from meshcache.core.values.limits import Limits
from meshcache.runtime.vip_ports.ticket_keys import AES, MAC
from tests.nodes import Place, places
from tests.support.waiting import wait_until
from tests.tls.world import VERSIONS, client_context, visit

pytestmark = pytest.mark.slow

SHARING = {"live": "any", "rotate_s": 60, "lifetime_s": 240}
TICKETS = [{"name": "shop", "resumption": "tickets", "tickets": 1, "sharing": SHARING}]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Nodes that are without keys for half a second at first and after a withdraw. With one clock for all, that is
    as good as the 8 s and more that differing clocks need, which `tests/core/tickets` and the simulator wait for in
    virtual time.
    """
    monkeypatch.setattr(mesh, "Limits", partial(Limits, ticket_first_s=0.5, ticket_quiet_s=0.5))
    yield from places(tmp_path)


def key_name(node: MeshNode) -> str:
    """The name of the key that a node encrypts with, as operators see it."""
    rings = node.policies.ticket_rings()
    return next((key["name"] for ring in rings for key in ring["keys"] if key["state"] == "encrypts"), "")


def agree(nodes: list[MeshNode], but: str = "") -> bool:
    names = {key_name(node) for node in nodes}
    return len(names) == 1 and names.isdisjoint({"", but})


def fleet(place: Place, version: str | None = None, vip: Any = TICKETS) -> tuple[list[MeshNode], list[Any]]:
    nodes = [place.node(name, vip=vip) for name in ("edge-1", "edge-2")]
    contexts = [
        place.server(node, version=version, kind=kind)
        for node, kind in zip(nodes, ("stdlib", "pyopenssl"), strict=True)
    ]
    place.wait_until_met()
    wait_until(partial(agree, nodes), what="both encrypt with one key")
    return nodes, contexts


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_resumes_on_the_other_node_until_it_is_withdrawn(place: Place, version: str) -> None:
    (one, two), contexts = fleet(place, version)
    client = client_context(version)
    first = visit(contexts[0], client)
    again = visit(contexts[1], client, session=first.session)
    assert again.resumed
    assert two.resumption(again.server.tls).origin == "edge-1"
    counts = two.stats()["vips"]["shop"]
    assert counts["tickets"]["opened"]["1h"] == 1
    assert counts["lookups"]["remote"] == 1
    assert one.stats()["vips"]["shop"]["tickets"] == {
        "given": True,
        "issued": 1,
        "opened": {"1h": 0, "6h": 0, "24h": 0, "older": 0},
        "refused": {},
        "unknown_key": 0,
    }
    assert one.stats()["vips"]["shop"]["entries"] == two.stats()["vips"]["shop"]["entries"] == 0
    before = key_name(one)
    one.policies.withdraw(vip="shop")
    for node, context in zip((one, two), contexts, strict=True):
        wait_until(lambda node=node: not key_name(node) or key_name(node) != before, what="the key is gone")
        assert not visit(context, client, session=first.session).resumed
    wait_until(partial(agree, [one, two], before), what="another key encrypts")
    assert visit(contexts[1], client, session=visit(contexts[0], client).session).resumed


def test_a_new_epoch_ends_every_ticket(place: Place) -> None:
    nodes, contexts = fleet(place, "1.3")
    client = client_context("1.3")
    first = visit(contexts[0], client)
    before = key_name(nodes[0])
    nodes[0].policies.withdraw(group="shop", new_epoch=True)
    wait_until(partial(agree, nodes, before), what="both have a key of the new epoch")
    for context in contexts:
        assert not visit(context, client, session=first.session).resumed
    assert visit(contexts[0], client, session=visit(contexts[1], client).session).resumed


def test_what_the_edge_gets_is_derived_for_it_alone(place: Place) -> None:
    nodes, _ = fleet(place, "1.3")
    found = nodes[0].internals.pump.core.tickets.of_vip("shop", nodes[0].internals.pump.clock())
    edge = nodes[0].internals.vips.port("shop").ticket_keys
    (key,) = found.opening
    assert edge.current.aes == key.derive(AES) != edge.current.mac == key.derive(MAC)
    assert key.reveal() not in (edge.current.aes, edge.current.mac)


def test_a_node_that_keeps_sessions_and_one_that_gives_tickets_don_t_share(place: Place) -> None:
    sessions = place.node("edge-1", vip=[{"name": "shop"}])
    tickets = place.node("edge-2", vip=TICKETS)
    contexts = [place.server(node, version="1.3") for node in (sessions, tickets)]
    place.wait_until_met()
    wait_until(lambda: key_name(tickets), what="it has a key of its own")
    client = client_context("1.3")
    assert sessions.policies.ticket_rings() == []
    assert not visit(contexts[0], client, session=visit(contexts[1], client).session).resumed


def reload(node: MeshNode, **vip: Any) -> None:
    """Reload a node with its file, in which the shop alone is another."""
    running = node.internals.settings
    (shop,) = running.vips
    node.reload(running.model_copy(update={"vips": (shop.model_copy(update=vip),)}))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reload_begins_with_tickets_on_all_nodes_and_one_that_ends_them_wipes_the_keys(
    place: Place, version: str
) -> None:
    nodes = [place.node(name, vip=[TICKETS[0] | {"resumption": "sessions"}]) for name in ("edge-1", "edge-2")]
    contexts = [place.server(node, version=version) for node in nodes]
    place.wait_until_met()
    for node in nodes:
        reload(node, resumption="tickets")
    wait_until(partial(agree, nodes), what="both encrypt with one key")
    client = client_context(version)
    first = visit(contexts[0], client)
    assert visit(contexts[1], client, session=first.session).resumed
    assert nodes[0].policies.ticket_rings()[0]["nodes"] == ["edge-1", "edge-2"]
    key = nodes[1].internals.pump.core.tickets.of_vip("shop", nodes[1].internals.pump.clock()).opening[0]
    reload(nodes[1], resumption="sessions")
    wait_until(lambda: key.wiped, what="the key is gone")
    assert nodes[1].policies.ticket_rings() == []
    wait_until(lambda: nodes[0].policies.ticket_rings()[0]["nodes"] == ["edge-1"], what="the other knows")
    assert not visit(contexts[1], client, session=first.session).resumed
    assert visit(contexts[1], client, session=visit(contexts[1], client).session).resumed
