"""Servers that nobody introduced find each other by mDNS on the loopback interface; another mesh there stays apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from meshcache.demo.files import has_multicast
from tests.support.material import Node, write_nodes
from tests.support.mesh import Mesh
from tests.support.programs import s_client


def test_mdns_alone_is_enough_and_only_for_ones_own_mesh(
    mesh: Mesh, make_nodes: Callable[..., list[Node]], folder: Path
) -> None:
    assert has_multicast(), "this machine's loopback interface carries no multicast, which these tests need"
    ours = make_nodes("edge-1", "edge-2", mesh="ours", mdns=True)
    theirs = write_nodes(folder, ["stranger"], mesh="theirs", mdns=True)
    for node in (*theirs, *ours):
        mesh.start(node)
    mesh.wait_until_ready(*theirs)
    mesh.wait_until_met(ours)

    saved = str(folder / "session.pem")
    s_client(ours[0].tls, folder, "1.3", "-sess_out", saved)
    there, resumed = s_client(ours[1].tls, folder, "1.3", "-sess_in", saved)
    elsewhere, resumed_elsewhere = s_client(theirs[0].tls, folder, "1.3", "-sess_in", saved)

    assert (there["session"], resumed) == ("remote", True)
    assert (elsewhere["session"], resumed_elsewhere) == ("full", False)
    assert mesh.alive(theirs[0]) == set()
