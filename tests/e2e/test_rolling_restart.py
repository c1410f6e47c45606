"""Servers that are restarted one after the other, each at the former one's "ready", as systemd and Ansible do it."""

from __future__ import annotations

import signal
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from meshcache.admin.client import AdminClient
from tests.support.material import HOST, Node
from tests.support.mesh import Mesh
from tests.support.programs import s_client
from tests.support.sockets import connect
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.slow

Make = Callable[..., list[Node]]

SESSIONS = 200


def visit(
    context: ssl.SSLContext, node: Node, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool]:
    """A handshake and a request: the session, and whether it was resumed."""
    plain = connect(node.tls, PATIENCE_S)
    with context.wrap_socket(plain, server_hostname=HOST, session=session) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        while connection.recv(4096):
            pass
        return connection.session, bool(connection.session_reused)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_every_session_outlives_a_rolling_restart_that_is_paced_by_ready(
    mesh: Mesh, make_nodes: Make, folder: Path, ending: signal.Signals
) -> None:
    nodes = make_nodes("edge-1", "edge-2", warm_s=30)
    for node in nodes:
        mesh.start(node)
    mesh.wait_until_met(nodes)
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    known = [visit(context, nodes[at % 2])[0] for at in range(SESSIONS)]
    wait_until(lambda: all(mesh.shop(node)["sessions"]["received"] >= SESSIONS // 2 for node in nodes))

    for node in nodes:
        mesh.of[node.name].send(ending)
        mesh.of[node.name].popen.wait(PATIENCE_S)
        mesh.start(node)
        mesh.wait_until_ready(node)

    resumed = [visit(context, nodes[at % 2], session)[1] for at, session in enumerate(known)]
    assert sum(resumed) == SESSIONS, [mesh.of[n.name].output for n in nodes]
    assert all(mesh.stats(node)["node"]["warm"] for node in nodes)
    assert "caught up with edge-1: " in mesh.of["edge-2"].output


def test_nothing_listens_and_nothing_is_ready_until_the_server_is_warm(mesh: Mesh, make_nodes: Make) -> None:
    first, second = make_nodes("edge-1", "edge-2", warm_s=600)
    second.file.write_text(second.file.read_text().replace("seeds = [", "seeds = ['127.0.0.1:1', "))
    for _ in range(ATTEMPTS):
        process = mesh.start(second)
        began = time.monotonic()
        seen: list[tuple[bool, bool, bool]] = []
        wait_until(lambda found=seen: look(second, found), what="it is ready")
        assert time.monotonic() - began < 600, "a node that meets nobody is as warm as it can be"
        assert seen[-1] == (True, True, True)
        assert {(listens, ready) for listens, warm, ready in seen if not warm} <= {NEITHER}
        if not all(warm for _, warm, _ in seen):
            break
        process.end()
    else:
        pytest.fail("it was never seen before it was warm")
    assert first not in mesh.nodes


NEITHER = (False, False)
ATTEMPTS = 8
"""It isn't warm for two seconds, within which a busy machine may not come to look."""


def look(node: Node, seen: list[tuple[bool, bool, bool]]) -> bool:
    """Note whether it listens, is warm and says that it is ready, in this order; return whether it says so."""
    try:
        connect(node.tls, PATIENCE_S).close()
        listens = True
    except ConnectionRefusedError:
        listens = False
    stats = AdminClient(node.admin_socket).stats()
    ready = bool(stats["front"] and stats["front"]["ready"])  # its front is there a little later
    seen.append((listens, stats["node"]["warm"], ready))
    return ready and listens


def test_a_server_that_is_told_to_end_before_it_is_warm_ends(mesh: Mesh, make_nodes: Make) -> None:
    node, other = make_nodes("edge-1", "edge-2", warm_s=600)
    process = mesh.start(node)
    wait_until(lambda: node.admin_socket.exists() or not process.running)
    process.send(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert other not in mesh.nodes


def test_a_lone_server_is_ready_at_once(mesh: Mesh, make_nodes: Make, folder: Path) -> None:
    (node,) = make_nodes("edge-1", warm_s=600)
    node.file.write_text(node.file.read_text().replace(f"seeds = ['127.0.0.1:{node.mesh_port}']", "seeds = []"))
    mesh.start(node)
    mesh.wait_until_ready(node)
    assert mesh.stats(node)["node"]["warm"]
    assert s_client(node.tls, folder, "1.3")[0]["session"] == "full"
