"""Fleets of nginx and of haproxy with ticket keys from the mesh: a ticket of one host resumes on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshcache import MeshNode
from meshcache.core.tickets import ticket_duty
from tests.nodes import Place, places
from tests.support.material import Authority
from tests.support.processes import Processes
from tests.support.ticket_servers import Host, Returning, haproxy_host, nginx_host, start_haproxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SETTLE_S = 1.0


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two keys of one ring have ten seconds between them, so that an operator can't fill it."""
    monkeypatch.setattr(ticket_duty, "_ROTATE_PAUSE_S", 0.5)


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


@pytest.fixture
def materials(folder: Path, authority: Authority) -> Path:
    authority.write(folder)
    return folder


def agent(place: Place, name: str, server: str, host: Host, colo: str = "ams1", **more: Any) -> MeshNode:
    """A node beside a server: its VIP has no context."""
    export = {"vip": "shop", "format": server, "path": str(host.keys), "settle_s": SETTLE_S, **more}
    vip = {"name": "shop", "resumption": "tickets", "sharing": {"reach": "colo"}}
    return place.node(name, colo=colo, vip=[vip], tickets={"export": [export]})


def state(node: MeshNode) -> dict[str, Any]:
    (export,) = node.stats()["ticket_exports"]
    return dict(export)


def has(node: MeshNode, keys: int) -> Callable[[], bool]:
    return lambda: state(node)["state"] == "ok" and len(state(node)["keys"]) == keys


def encrypts(node: MeshNode) -> str:
    """The key that the server encrypts with, by the mesh's name."""
    keys = state(node)["keys"]
    return str(keys[0] if state(node)["format"] == "nginx" else keys[-2] if len(keys) == 3 else keys[0])


def rotate(nodes: list[MeshNode]) -> None:
    """Make the next key, as soon as that may be: two of one ring have ten seconds between them."""
    wait_until(lambda: nodes[0].policies.rotate_tickets("shop"), what="the next key may be made")


def ring(node: MeshNode) -> dict[str, Any]:
    (found,) = node.policies.ticket_rings()
    return found


def new_key(node: MeshNode) -> str:
    return str(max(ring(node)["keys"], key=lambda key: key["generation"])["name"])


def resumes(client: Returning, at: Host, session: Any, expected: bool = True) -> Any:
    """nginx takes a reload when it comes to it: a client may meet the processes of before for a moment."""
    return wait_until(lambda: client.visit(at.port, session)[0] is expected, what=f"resumed is {expected}")


def test_nginx_hosts_take_each_others_tickets_before_during_and_after_a_rotation(
    place: Place, processes: Processes, materials: Path
) -> None:
    hosts = [nginx_host(processes, materials / f"host-{number}", materials) for number in (1, 2)]
    nodes = [
        agent(place, f"edge-{number}", "nginx", host, command=host.command)
        for number, host in zip((1, 2), hosts, strict=True)
    ]
    other = agent(
        place, "far-1", "nginx", Host(0, materials / "far"), colo="fra1", command=["true"]
    )  # its colo has keys of its own
    place.wait_until_met()
    for node in nodes:
        wait_until(has(node, 1), what="its server has the first key")
    clients = {tls: Returning.new(materials, tls) for tls in ("1.2", "1.3")}
    before = {}
    for tls, client in clients.items():
        wait_until(partial(resumed_across, client, hosts), what=f"TLS {tls} resumes on the other host")
        _, before[tls] = client.visit(hosts[0].port)
    rotate(nodes)
    former = encrypts(nodes[0])
    wait_until(lambda: all(len(state(node)["keys"]) == 2 for node in nodes), what="all open with the next key")
    for tls, client in clients.items():
        resumes(client, hosts[1], before[tls])
    wait_until(lambda: all(encrypts(node) != former for node in nodes), what="all encrypt with the next key")
    assert {encrypts(node) for node in nodes} == {new_key(nodes[0])}
    for tls, client in clients.items():
        wait_until(partial(resumed_across, client, hosts), what=f"TLS {tls} with the new key")
        resumes(client, hosts[1], before[tls])
    assert not set(state(other)["keys"]) & set(state(nodes[0])["keys"])
    _, session = clients["1.2"].visit(hosts[0].port)
    nodes[1].policies.withdraw(vip="shop", new_epoch=True)
    resumes(clients["1.2"], hosts[0], session, expected=False)
    resumes(clients["1.2"], hosts[1], session, expected=False)


def resumed_across(client: Returning, hosts: list[Host]) -> bool:
    """Both ways, with a ticket that is made now."""
    ways = [(hosts[0], hosts[1]), (hosts[1], hosts[0])]
    return all(client.visit(to.port, client.visit(at.port)[1])[0] for at, to in ways)


def test_haproxy_hosts_do_so_by_the_runtime_api_and_after_a_restart(
    place: Place, processes: Processes, materials: Path
) -> None:
    hosts = [haproxy_host(processes, materials / f"host-{number}", materials) for number in (1, 2)]
    nodes = [
        agent(place, f"edge-{number}", "haproxy", host, haproxy_socket=str(host.runtime))
        for number, host in zip((1, 2), hosts, strict=True)
    ]
    place.wait_until_met()
    wait_until(lambda: all(host.keys.exists() for host in hosts), what="the files are there, to start with")
    wait_until(lambda: state(nodes[0])["state"] == "failing", what="nobody is there to be told")
    running = [start_haproxy(processes, host) for host in hosts]
    wait_until(lambda: all(has(node, 1)() for node in nodes), what="it was tried again")
    clients = {tls: Returning.new(materials, tls) for tls in ("1.2", "1.3")}
    before = {}
    for tls, client in clients.items():
        assert resumed_across(client, hosts), tls
        _, before[tls] = client.visit(hosts[0].port)
    former = encrypts(nodes[0])
    rotate(nodes)
    wait_until(lambda: all(len(state(node)["keys"]) == 2 for node in nodes))
    for tls, client in clients.items():
        assert client.visit(hosts[1].port, before[tls])[0]
    wait_until(lambda: all(encrypts(node) != former for node in nodes))
    for tls, client in clients.items():
        assert resumed_across(client, hosts), tls
        assert client.visit(hosts[1].port, before[tls])[0]
    _, session = clients["1.2"].visit(hosts[0].port)
    running[1].end()
    start_haproxy(processes, hosts[1])
    assert clients["1.2"].visit(hosts[1].port, session)[0], "it was started with the file as it is now"
    nodes[1].policies.withdraw(vip="shop")
    wait_until(lambda: not any(client_resumes(clients["1.2"], host, session) for host in hosts))


def client_resumes(client: Returning, host: Host, session: Any) -> bool:
    return client.visit(host.port, session)[0]
