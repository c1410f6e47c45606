"""Strangers on the TLS port of real servers: who saw ids on the wire burns nothing with them, and moves no message.

``make security`` sends 10,000 ClientHellos a kind, ``make test`` some hundred.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

from tests.nodes import Place
from tests.security.hellos import client_hello, offered_id, say, with_broken_binder, with_random_id
from tests.support.hot_paths import hot_path
from tests.support.material import Authority, Node, write_key, write_nodes
from tests.support.mesh import Mesh
from tests.support.processes import Processes
from tests.support.programs import python_visit
from tests.support.waiting import wait_until
from tests.tls.world import StdlibEnd, client_context, server_context, server_end, set_ciphers, visit

__all__ = ["hot_path"]

HELLOS = int(os.environ.get("MESHCACHE_HELLOS", "200"))

CPU_RATIO_MAX = 2.0
"""A ClientHello with an id that nobody knows, against one without an id: both cost a full handshake's first flight. It
is 1.0 to 1.2 on a quiet machine."""

ALL_THE_TIME = {"hello", "beat", "ping", "pong", "digest", "rosterask", "roster"}

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Servers:
    """Two servers of one mesh, and a client that has been to the first."""

    def __init__(self, folder: Path, mesh: Mesh, nodes: list[Node]) -> None:
        self.folder, self.mesh, self.nodes = folder, mesh, nodes
        self.first, self.second = nodes

    def client(self, version: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.minimum_version = context.maximum_version = VERSIONS[version]
        return context

    def session(self, context: ssl.SSLContext) -> Any:
        """Of a full handshake with the first server, once the second one has it."""
        before = self.entries(self.second)
        answer, session, _ = python_visit(self.first.tls, context)
        assert answer["session"] == "full"
        wait_until(lambda: self.entries(self.second) > before)
        return session

    def entries(self, node: Node) -> int:
        return int(self.mesh.shop(node)["entries"])

    def sent(self, node: Node) -> dict[str, int]:
        """Messages by kind, without those by which members know one another, which go on all the time."""
        kinds = self.mesh.stats(node)["gossip"]["sent"]["kinds"]
        return {kind: count for kind, count in kinds.items() if kind not in ALL_THE_TIME}

    def cpu_s(self, node: Node) -> float:
        times = psutil.Process(self.mesh.of[node.name].popen.pid).cpu_times()
        return float(times.user + times.system)


@pytest.fixture(scope="module")
def servers(authority: Authority) -> Iterator[Servers]:
    with TemporaryDirectory(prefix="mc-") as name, Processes(Path(name)) as processes:
        folder = Path(name)
        authority.write(folder)
        write_key(folder)
        nodes = write_nodes(folder, ["edge-1", "edge-2"])
        mesh = Mesh(processes)
        for node in nodes:
            mesh.start(node)
        mesh.wait_until_met(nodes)
        wait_until(lambda: all(mesh.stats(node)["node"]["warm"] for node in nodes))
        yield Servers(folder, mesh, nodes)


Kind = Callable[[bytes], bytes]


def _as_seen(hello: bytes) -> bytes:
    return hello


@pytest.mark.parametrize(
    "version, change",
    [("1.2", _as_seen), ("1.3", _as_seen), ("1.3", with_broken_binder)],
    ids=["1.2", "1.3 replayed whole", "1.3 without the key"],
)
def test_ids_seen_on_the_wire_burn_no_session_and_move_no_message(servers: Servers, version: str, change: Kind) -> None:
    client = servers.client(version)
    session = servers.session(client)
    hello = client_hello(client, session)
    entries = [servers.entries(node) for node in servers.nodes]
    sent = [servers.sent(node) for node in servers.nodes]
    for number in range(HELLOS):
        assert say(servers.nodes[number % 2].tls, change(hello)), "the server answers everybody"
    assert [servers.entries(node) for node in servers.nodes] == entries
    assert [servers.sent(node) for node in servers.nodes] == sent
    answer, _, resumed = python_visit(servers.second.tls, client, session)
    assert (answer["session"], answer["origin"], resumed) == ("remote", "edge-1", True)


@pytest.mark.parametrize("version", VERSIONS)
def test_ids_that_nobody_made_cost_a_lookup_and_no_message(servers: Servers, version: str) -> None:
    client = servers.client(version)
    hello = client_hello(client, servers.session(client))
    plain = client_hello(client)
    before, sent = servers.mesh.shop(servers.first), servers.sent(servers.first)
    costs = []
    for make in (lambda: plain, lambda: with_random_id(hello)):
        began = servers.cpu_s(servers.first)
        for _ in range(HELLOS):
            assert say(servers.first.tls, make())
        costs.append(servers.cpu_s(servers.first) - began)
    after = servers.mesh.shop(servers.first)
    assert after["handshakes"]["failed"] - before["handshakes"]["failed"] >= 2 * HELLOS
    assert after["lookups"] == before["lookups"], "what never ends in a handshake is no visit"
    assert after["entries"] == before["entries"]
    assert servers.sent(servers.first) == sent
    assert costs[1] <= CPU_RATIO_MAX * costs[0] + 0.1, costs
    assert python_visit(servers.second.tls, client)[0]["session"] == "full"


def test_an_id_is_found_in_a_client_hello_of_either_version(servers: Servers) -> None:
    found = []
    for version in VERSIONS:
        client = servers.client(version)
        hello = client_hello(client, servers.session(client))
        found.append(offered_id(hello))
        assert with_random_id(hello) != hello
    assert {len(each) for each in found} == {32}


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["a.test", "b.test"])
def test_ids_of_one_vip_burn_nothing_at_another_of_its_group_with_other_ciphers(
    place: Place, version: str, name: str
) -> None:
    """Both are looked for in the whole group, and ciphers may differ in it."""
    sharing = {"sharing": {"group": "shop"}}
    node = place.node("edge-1", vip=[{"name": "legacy", **sharing}, {"name": "modern", **sharing}])
    legacy, modern = server_context("stdlib", version), server_context("stdlib", version)
    for context, vip, ciphers in zip((legacy, modern), ("legacy", "modern"), CIPHERS[version], strict=True):
        set_ciphers(context, version, ciphers)
        node.attach(context, vip=vip)
    client = client_context(version)
    client.set_ciphers("ALL:@SECLEVEL=0")
    session = visit(legacy, client).session
    for _ in range(3):
        end, server = StdlibEnd(client, server=False, name=name, session=session), server_end(modern)
        assert not end.shake()
        server.feed(with_broken_binder(end.take()) if version == "1.3" else end.take())
        assert not server.shake(), "the server's flight, and no alert"
    vips = node.stats()["vips"]
    assert vips["legacy"]["entries"] == 1
    assert vips["modern"]["lookups"]["refused"] == ({"protocol": 3} if name == "a.test" else {})
    assert visit(legacy, client, session=session).resumed


CIPHERS = {
    "1.2": ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    "1.3": ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
}
