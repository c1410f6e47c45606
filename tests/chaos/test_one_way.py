"""Links that work one way only: a wrong address, a firewall, a NAT. Answers go back on the connection that brought the
question, so both nodes live for each other and sessions cross in both directions.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from meshcache import MeshNode
from tests.chaos.hosts import Hosts, wait_until_all_have, wait_until_met
from tests.chaos.namespaces import Lan, NamespacesError
from tests.nodes import Place, alive, places
from tests.support.material import free_ports
from tests.support.waiting import wait_until
from tests.tls.world import client_context, visit

NEVER_S = 20.0


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def link(node: MeshNode, name: str) -> str:
    return next((str(peer["link"]) for peer in node.peers() if peer["name"] == name), "none")


def resumes(node: MeshNode, context: object, other: object) -> bool:
    """Whether a session that is made on one context resumes on another once it is there."""
    before = node.stats()["vips"]["shop"]["entries"]
    client = client_context("1.2")
    session = visit(context, client).session
    wait_until(lambda: node.stats()["vips"]["shop"]["entries"] > before, what="it arrives")
    return bool(visit(other, client, session=session).resumed)


@pytest.mark.parametrize("wrong", ["nobody listens there", "it is the other node's own"])
def test_a_node_that_tells_a_wrong_address_is_in_the_mesh(place: Place, wrong: str) -> None:
    port, closed = free_ports(2)
    right = place.node("right", mesh={"listen": f"0.0.0.0:{port}", "advertise": f"127.0.0.2:{port}"})
    lost = place.node("lost", mesh={"advertise": f"127.0.0.1:{port if wrong.startswith('it is') else closed}"})
    contexts = [place.server(node) for node in (right, lost)]
    place.wait_until_met()
    assert resumes(lost, *contexts)
    assert resumes(right, *reversed(contexts))
    wait_until(lambda: (link(right, "lost"), link(lost, "right")) == ("inbound", "outbound"))
    assert lost.policies.set_policy("shop", {"lineage_s": "7200"})["nodes"]["have"] == 2
    joined = [event for event in right.events() if event["kind"] == "PeerJoined"]
    assert len(joined) == 1, "and it stays"


def test_links_are_two_where_both_can_be_reached(place: Place) -> None:
    nodes = [place.node("edge-1"), place.node("edge-2")]
    place.wait_until_met()
    wait_until(lambda: [link(nodes[0], "edge-2"), link(nodes[1], "edge-1")] == ["both", "both"])


def test_a_node_that_left_is_gone_though_it_could_not_be_dialled(place: Place, folder: Path) -> None:
    right = place.node("right")
    lost = place.node("lost", mesh={"advertise": f"127.0.0.1:{free_ports(1)[0]}"})
    place.wait_until_met()
    lost.close()
    wait_until(lambda: right.events()[-1]["kind"] == "PeerLeft", what="it said goodbye")  # peers are told of at once
    assert not alive(right)


@pytest.fixture
def lan() -> Iterator[Lan]:
    try:
        made = Lan(2)
    except NamespacesError as error:
        if os.environ.get("CI"):
            raise
        warnings.warn(f"no network namespaces here: {error}", stacklevel=1)
        pytest.skip("no network namespaces")
    with made:
        yield made


@pytest.mark.timeout(120)
def test_a_firewall_that_opens_one_direction_cuts_nobody_off(lan: Lan, hosts: Hosts) -> None:
    lan.close_to_newcomers(1)
    wanted = [{"name": "open", "mesh": {"listen": f"{lan.address(0)}:7946"}}]
    wanted += [{"name": "behind", "mesh": {"listen": f"{lan.address(1)}:7946", "seeds": [f"{lan.address(0)}:7946"]}}]
    started = [hosts.start(node, command=lan.command(at)) for at, node in enumerate(wanted)]
    wait_until_met(started)
    wait_until_all_have(started, started[0].make(20), NEVER_S)
    wait_until_all_have(started, started[1].make(20), NEVER_S)
    assert lan.lost()[1] > 0, "the firewall had something to stop"
    ways = partial(_ways, *started)
    wait_until(lambda: ways() == ["inbound", "outbound"], what="both ends say which way the link stands")
    lan.heal()
    wait_until(lambda: ways() == ["both", "both"], within_s=60, what="it opens")
    wait_until_all_have(started, started[0].make(5), NEVER_S)


def _ways(*started: object) -> list[str]:
    return [str(host.ask("peers", host.name)[0]["link"]) for host in started]  # type: ignore[attr-defined]
