"""Two real servers whose VIP says `single_use`: a session is good for one handshake, and for how long for a second."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from tests.support.material import HOST, Node
from tests.support.mesh import Mesh
from tests.support.waiting import wait_until

Make = Callable[..., list[Node]]
DELAYS_MS = (0, 1, 2, 5, 10, 20, 50)
TRIES = 10


def client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def visit(node: Node, context: ssl.SSLContext, session: Any = None) -> tuple[Any, bool]:
    """Return the session that a visit ends with, and whether it resumed."""
    with (
        socket.create_connection(("127.0.0.1", node.tls_port), 60) as raw,
        context.wrap_socket(raw, server_hostname=HOST, session=session) as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        while tls.recv(4096):
            pass
        return tls.session, bool(tls.session_reused)


def test_a_session_is_good_once_and_the_window_is_printed(mesh: Mesh, make_nodes: Make) -> None:
    first, second = nodes = make_nodes("edge-1", "edge-2")
    for node in nodes:
        text = node.file.read_text()
        node.file.write_text(text.replace('name = "shop"\n', 'name = "shop"\nsingle_use = "best_effort"\n'))
        mesh.start(node)
    mesh.wait_until_met(nodes)
    context, lines = client(), []
    for delay_ms in DELAYS_MS:
        twice = 0
        for _ in range(TRIES):
            held = mesh.shop(second)["sessions"]["received"]
            session, _ = visit(first, context)
            wait_until(lambda n=held: mesh.shop(second)["sessions"]["received"] > n, what="the copy has come")  # type: ignore[misc]
            with (
                socket.create_connection(("127.0.0.1", first.tls_port), 60) as raw,
                context.wrap_socket(raw, server_hostname=HOST, session=session) as tls,
            ):
                assert tls.session_reused
                time.sleep(delay_ms / 1000)
                twice += visit(second, context, session)[1]
        lines.append(f"{delay_ms} ms: {twice} of {TRIES}")
    print(f"\nresumed a second time, on the other server, after {'; '.join(lines)}; load {os.getloadavg()[0]:.1f}")

    used = len(DELAYS_MS) * TRIES
    wait_until(lambda: mesh.shop(first)["sessions"]["consumed"] == used, what="each was used up on the first")
    held = mesh.shop(second)["sessions"]["received"]
    session, _ = visit(first, context)
    wait_until(lambda: mesh.shop(second)["sessions"]["received"] > held, what="the copy has come")
    told = mesh.shop(second)["sessions"]["consumed_elsewhere"]
    assert visit(first, context, session)[1]
    wait_until(lambda: mesh.shop(second)["sessions"]["consumed_elsewhere"] > told, what="the other one was told")
    assert not visit(second, context, session)[1]
    assert not visit(first, context, session)[1]
