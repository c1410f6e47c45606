"""Tests of `examples/pyopenssl_server.py`: a handshake of it that is paused goes on once its session has come."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from examples.pyopenssl_server import shake_hands
from tests.nodes import Place, places
from tests.support.waiting import wait_until
from tests.tls.world import client_context, server_context, visit

VIP = {"name": "shop", "tickets": 1, "await_ms": 1000, "fetch": "off"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


def test_its_handshake_waits_for_a_session_on_its_way_and_resumes(place: Place) -> None:
    made_on, came_to = (place.node(name, vip=[VIP]) for name in ("edge-1", "edge-2"))
    first = place.server(made_on, version="1.2")
    second = came_to.attach(server_context("pyopenssl", "1.2"), vip="shop", pauses=True)
    place.wait_until_met()
    wait_until(
        lambda: all(peer.ahead_s is not None for peer in came_to.internals.pump.core.duties.members), what="pings"
    )
    client = client_context("1.2")
    with made_on.internals.pump.sending:
        session = visit(first, client).session
        ours, theirs = socket.socketpair()
        connection = SSL.Connection(second, theirs)
        connection.set_accept_state()
        serving = threading.Thread(target=shake_hands, args=(came_to, connection), daemon=True)
        serving.start()
        ends = []
        visiting = threading.Thread(
            target=lambda: ends.append(client.wrap_socket(ours, server_hostname="a.test", session=session)), daemon=True
        )
        visiting.start()
        awaiting = came_to.internals.pump.core.awaiting
        wait_until(lambda: bool(awaiting) or not serving.is_alive(), what="it is paused")
    made_on.internals.pump.wake()
    serving.join(60)
    visiting.join(60)
    assert came_to.stats()["vips"]["shop"]["lookups"]["asked"]["await"]["on_its_way"] == 1
    assert ends[0].session_reused == bool(came_to.resumption(connection))
    ends[0].close()
    theirs.close()


def test_an_error_that_is_no_pause_is_raised(place: Place) -> None:
    node = place.node("edge-1")
    context = node.attach(server_context("pyopenssl", "1.2"), vip="shop", pauses=True)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"GET / HTTP/1.0\r\n\r\n")
        connection = SSL.Connection(context, theirs)
        connection.set_accept_state()
        with pytest.raises(SSL.Error):
            shake_hands(node, connection)
