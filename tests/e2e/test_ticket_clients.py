"""Tickets at real servers: client programs resume by them, and a ticket that isn't good is a full handshake, never an
alert."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from meshcache.admin.client import AdminClient
from tests.support.balancer import Balancer
from tests.support.material import Node, write_key
from tests.support.mesh import Mesh
from tests.support.programs import python_visit, s_client
from tests.support.ticket_clients import LARGE, TICKET_CLIENTS
from tests.support.tickets import changed
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

VERSIONS = ("1.2", "1.3")
RETURNS = 100


def tickets(node: Node) -> None:
    """Let a node's VIP give tickets."""
    text = node.file.read_text()
    node.file.write_text(text.replace("[[vip]]\n", '[[vip]]\nresumption = "tickets"\n', 1))


def encrypts(mesh: Mesh, node: Node) -> str:
    (ring,) = AdminClient(node.admin_socket).tickets()
    return next((str(key["name"]) for key in ring["keys"] if key["state"] == "encrypts"), "")


def agree(mesh: Mesh, nodes: list[Node]) -> bool:
    names = {encrypts(mesh, node) for node in nodes}
    return len(names) == 1 and "" not in names


@pytest.fixture
def fleet(mesh: Mesh, make_nodes: Callable[..., list[Node]]) -> list[Node]:
    nodes = make_nodes("edge-1", "edge-2")
    for node in nodes:
        tickets(node)
        mesh.start(node)
    mesh.wait_until_met(nodes)
    wait_until(partial(agree, mesh, nodes), what="both encrypt with one key")
    return nodes


def test_every_client_resumes_by_ticket_on_a_server_it_has_never_met(
    mesh: Mesh, fleet: list[Node], folder: Path
) -> None:
    clients = TICKET_CLIENTS | {name: visit for name, (visit, there) in LARGE.items() if there}
    one, other = fleet
    seen: dict[tuple[str, str], object] = {}
    for name, tls in product(clients, VERSIONS):
        with Balancer([one.tls, other.tls]) as vip:
            pair = clients[name](vip.address, folder, tls)
        first = (pair.first.get("server"), pair.first.get("session")) if pair.first else ("edge-1", "full")
        second = (pair.second["server"], pair.second["session"], pair.second["origin"])
        seen[name, tls] = (first, second, pair.resumed is not False, pair.second["tls"])
    expected: dict[tuple[str, str], object] = {
        (name, tls): (("edge-1", "full"), ("edge-2", "remote", "edge-1"), True, f"TLSv{tls}")
        for name, tls in product(clients, VERSIONS)
    }
    # curl has turned tickets off where they aren't TLS 1.3's.
    expected["curl", "1.2"] = (("edge-1", "full"), ("edge-2", "full", None), True, "TLSv1.2")
    assert seen == expected
    assert mesh.shop(one)["entries"] == mesh.shop(other)["entries"] == 0
    for tls in VERSIONS:
        assert returns_at_once(fleet, folder, tls) == RETURNS
    assert sum(mesh.shop(node)["sessions"]["pushed"] for node in fleet) == 0, "no handshake costs a byte between nodes"


def returns_at_once(fleet: list[Node], folder: Path, tls: str) -> int:
    """How many of `RETURNS` visits to the two in turn, each after 0 ms, resume."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, f"TLSv1_{tls[-1]}")
    _, session, _ = python_visit(fleet[0].tls, context)
    resumed = 0
    for number in range(RETURNS):
        _, session, again = python_visit(fleet[number % 2].tls, context, session)
        resumed += again
    return resumed


def at(where: int, by: int = 1) -> Callable[[bytes], bytes]:
    """One byte changed."""
    return lambda ticket: ticket[:where] + bytes([ticket[where] ^ by]) + (ticket[where + 1 :] if where != -1 else b"")


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another key's name": (at(0), "unknown_key"),
    "the name's last byte": (at(15), "unknown_key"),
    "its start": (at(16), "der"),
    "what is encrypted": (at(60), "der"),
    "its seal": (at(-1), "der"),
    "all but a byte": (lambda ticket: ticket[:-1], "der"),
    "a byte more": (lambda ticket: ticket + b"x", "der"),
    "a name and nothing": (lambda ticket: ticket[:16], "der"),
    "a name and a start": (lambda ticket: ticket[:32], "der"),
    "one byte": (lambda ticket: ticket[:1], ""),
    "half a name": (lambda ticket: ticket[:8], ""),
    "nothing but noise": (lambda ticket: bytes(range(256)) * 4, "unknown_key"),
}


def counted(mesh: Mesh, node: Node) -> dict[str, int]:
    shop = mesh.shop(node)
    return {"unknown_key": shop["tickets"]["unknown_key"], **shop["tickets"]["refused"]}


def test_a_ticket_that_is_changed_cut_withdrawn_over_or_anothers_is_a_full_handshake(
    mesh: Mesh, fleet: list[Node], folder: Path, make_nodes: Callable[..., list[Node]]
) -> None:
    _, other = fleet
    for tls in VERSIONS:
        pem = folder / f"good-{tls}.pem"
        s_client(fleet[0].tls, folder, tls, "-sess_out", str(pem))
        good = pem.read_text()
        offer = partial(offered, folder, tls)
        assert offer(other, changed(good, bytes)) == "remote", "as it was"
        for what, (change, reason) in BAD.items():
            before = counted(mesh, other)
            assert offer(other, changed(good, change)) == "full", (tls, what)
            after = counted(mesh, other)
            told = {key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)}
            assert told in ([{reason: 1}] if reason else [{}, {"unknown_key": 1}, {"der": 1}]), (tls, what)
        assert offer(other, changed(good, bytes)) == "remote", "nobody was harmed"
    assert mesh.shop(other)["handshakes"]["failed"] == 0
    check_others(mesh, fleet, folder, make_nodes)
    withdraw_all(mesh, fleet, folder)


def check_others(mesh: Mesh, fleet: list[Node], folder: Path, make_nodes: Callable[..., list[Node]]) -> None:
    """Tickets of another mesh, another colo and another group, and one that is over."""
    write_key(folder, "other")
    (stranger,) = make_nodes("strange-1", mesh="strange", key="other.key")
    (far,) = make_nodes("far-1")
    (apart,) = make_nodes("apart-1", more='group = "apart"\n')
    (brief,) = make_nodes("brief-1", more="lifetime_s = 1\nrotate_s = 60\n")
    far.file.write_text(far.file.read_text().replace('colo = "ams1"', 'colo = "fra1"'))
    nodes = [stranger, far, apart, brief]
    for node in nodes:
        tickets(node)
        seeds = f'seeds = ["127.0.0.1:{fleet[0].mesh_port}"]'
        if node is not stranger:
            lines = [seeds if line.startswith("seeds") else line for line in node.file.read_text().splitlines()]
            node.file.write_text("\n".join(lines) + "\n")
        mesh.start(node)
    mesh.wait_until_ready(*nodes)
    wait_until(lambda: all(encrypts(mesh, node) for node in nodes), what="each has a key of its own")
    for tls in VERSIONS:
        for node in (stranger, far, apart):
            pem = folder / f"{node.name}-{tls}.pem"
            s_client(node.tls, folder, tls, "-sess_out", str(pem))
            text = changed(pem.read_text(), bytes)
            assert offered(folder, tls, node, text) == "local"
            before = counted(mesh, fleet[1])["unknown_key"]
            assert offered(folder, tls, fleet[1], text) == "full", (tls, node.name)
            assert counted(mesh, fleet[1])["unknown_key"] == before + 1
        pem = folder / f"brief-{tls}.pem"
        s_client(brief.tls, folder, tls, "-sess_out", str(pem))
        over = changed(pem.read_text(), bytes)
        wait_until(partial(is_over, folder, tls, brief, over), what="its second is over")
        refused = mesh.shop(brief)["tickets"]["refused"].get("lifetime", 0)

        def is_refused(over: str = over, tls: str = tls, refused: int = refused) -> bool:
            assert is_over(folder, tls, brief, over)
            return bool(mesh.shop(brief)["tickets"]["refused"].get("lifetime", 0) > refused)

        wait_until(is_refused, what="we say so too: OpenSSL counts in whole seconds, and may be first")
    assert mesh.shop(brief)["tickets"]["refused"].keys() == {"lifetime"}


def is_over(folder: Path, tls: str, node: Node, pem: str) -> bool:
    return offered(folder, tls, node, pem) == "full"


def withdraw_all(mesh: Mesh, fleet: list[Node], folder: Path) -> None:
    """A new epoch ends every ticket, on every node at once."""
    one, other = fleet
    good = {tls: (folder / f"good-{tls}.pem").read_text() for tls in VERSIONS}
    AdminClient(one.admin_socket).withdraw(group="shop", new_epoch=True)
    for tls in VERSIONS:
        assert offered(folder, tls, one, changed(good[tls], bytes)) == "full"
        wait_until(partial(is_over, folder, tls, other, changed(good[tls], bytes)), what="it is withdrawn there too")


def offered(folder: Path, tls: str, node: Node, pem: str) -> str:
    """What a server says of a client that offers this session: an alert would fail the program."""
    file = folder / "offered.pem"
    file.write_text(pem)
    answer, resumed = s_client(node.tls, folder, tls, "-sess_in", str(file))
    assert resumed == (answer["session"] != "full")
    return str(answer["session"])
