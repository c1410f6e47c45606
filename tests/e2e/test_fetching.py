"""A real peer that is stopped while it is asked for sessions: what it costs handshakes, and for how long."""

from __future__ import annotations

import signal
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from tests.support.material import HOST, Node
from tests.support.mesh import Mesh
from tests.support.waiting import wait_until

Make = Callable[..., list[Node]]
FETCH_MS = 300
VISITS = 40


def client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def visit(node: Node, context: ssl.SSLContext, session: Any = None) -> tuple[Any, bool, float]:
    """Return the session that a visit ends with, whether it resumed, and how long its handshake took."""
    with socket.create_connection(("127.0.0.1", node.tls_port), 60) as raw:
        began = time.monotonic()
        with context.wrap_socket(raw, server_hostname=HOST, session=session) as tls:
            took_s = time.monotonic() - began
            tls.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
            while tls.recv(4096):
                pass
            return tls.session, bool(tls.session_reused), took_s


def test_a_peer_that_is_stopped_costs_three_handshakes_their_time_and_then_none(mesh: Mesh, make_nodes: Make) -> None:
    maker, other = nodes = make_nodes("edge-1", "edge-2")
    for node in nodes:  # what one made the other has to ask for
        text = node.file.read_text()
        settings = f'name = "shop"\ncopies = 1\nawait_ms = 0\nfetch_ms = {FETCH_MS}\n'
        assert text.count('name = "shop"\n') == 1
        node.file.write_text(text.replace('name = "shop"\n', settings))
        mesh.start(node)
    mesh.wait_until_met(nodes)
    context = client()
    sessions = [visit(maker, context)[0] for _ in range(VISITS + 1)]
    assert visit(other, context, sessions.pop())[1], "while it lives it is asked, and gives"
    assert mesh.shop(other)["lookups"]["pulled"] == 1

    mesh.of["edge-1"].stop()
    try:
        came = [visit(other, context, session)[1:] for session in sessions]
    finally:
        mesh.of["edge-1"].send(signal.SIGCONT)

    again = [number for number, (resumed, _) in enumerate(came) if resumed]
    assert again == [], "a full handshake each, and no error"
    asked = mesh.shop(other)["lookups"]["asked"]["fetch"]
    late = asked["late"]
    assert 3 <= late <= 4, (
        asked
    )  # one more at most: a stall of the other's own gives everybody the benefit of the doubt
    assert asked["asked"] == 1 + late, "all others weren't asked for at all"
    assert asked["no_peer"] == VISITS - late
    took_ms = sorted(took_s * 1000 for _, took_s in came)
    print(f"{late} of {VISITS} waited; {took_ms[VISITS // 2]:.1f} ms in the median, {took_ms[-1]:.1f} ms at most")
    assert took_ms[VISITS // 2] < FETCH_MS, "most waited for nobody"

    mesh.wait_until_met(nodes)
    wait_until(lambda: visit(other, context, visit(maker, context)[0])[1], what="it is asked again, and gives")
