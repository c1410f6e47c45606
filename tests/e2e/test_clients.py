"""Every client program comes back, through a load balancer, to a server it has never met, and resumes there."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

from tests.support.balancer import Balancer
from tests.support.material import Node
from tests.support.mesh import Mesh
from tests.support.programs import CLIENTS
from tests.support.waiting import wait_until


def test_every_client_resumes_on_a_server_it_has_never_met(
    mesh: Mesh, make_nodes: Callable[..., list[Node]], folder: Path
) -> None:
    one, other = nodes = make_nodes("edge-1", "edge-2")
    for node in nodes:
        mesh.start(node)
    mesh.wait_until_met(nodes)

    seen: dict[tuple[str, str], object] = {}

    def sessions_are_there() -> None:
        # GnuTLS comes back within a millisecond, and then two or three of a hundred are faster than the mesh.
        wait_until(lambda: mesh.shop(other)["sessions"]["received"] > len(seen), what="the session is on edge-2")

    for name, tls in product(CLIENTS, ("1.2", "1.3")):
        with Balancer([one.tls, other.tls], before=sessions_are_there) as vip:
            pair = CLIENTS[name](vip.address, folder, tls)
        first = (pair.first.get("server"), pair.first.get("session")) if pair.first else ("edge-1", "full")
        second = (pair.second["server"], pair.second["session"], pair.second["origin"])
        seen[name, tls] = (first, second, pair.resumed is not False, pair.second["tls"])

    expected = {
        (name, tls): (("edge-1", "full"), ("edge-2", "remote", "edge-1"), True, f"TLSv{tls}")
        for name, tls in product(CLIENTS, ("1.2", "1.3"))
    }
    assert seen == expected
    count = len(expected)
    wait_until(lambda: mesh.shop(other)["handshakes"]["remote"] == count, what="every remote hit is counted")
    assert mesh.shop(one)["handshakes"]["full"] == count
    assert mesh.shop(one)["sessions"]["made"] == count
    assert mesh.shop(other)["lookups"]["hit_not_resumed"] == 0
