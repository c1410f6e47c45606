import io
import logging
import socket
import threading
import time

import pytest
import zmq

from meshcache.edges import handshakes
from meshcache.edges import listener as listener_module
from meshcache.edges.sockets import MESSAGE_BYTES_MAX
from meshcache.errors import TransportError
from tests.support.transports import (
    Make,
    Node,
    in_a_process,
    member_client,
    no_descriptor_for,
    until,
)

MANY = 1000
"""Connections that end at once, of which libzmq tells three times: more than the 2,000 events that a queue holds where
its maxima are ZeroMQ's own. What isn't accepted meanwhile has room in the kernel's queue."""


def comes_and_goes(node: Node, times: int = 1) -> None:
    host, _, port = node.transport.address.rpartition(":")
    for _ in range(times):
        socket.create_connection((host, int(port)), 10).close()


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" + b"\0" * 8 + b"\x7f\x03", b"\0" * 4096, b"\x16"]
)
def test_raw_bytes_disturb_nobody(make: Make, garbage: bytes) -> None:
    node, member = make(), make()
    host, _, port = node.transport.address.rpartition(":")
    strangers = [socket.create_connection((host, int(port))) for _ in range(20)]
    for stranger in strangers:
        stranger.sendall(garbage)
    member.send(node, b"through")
    node.receives(b"through")
    for stranger in strangers:
        stranger.close()
    assert node.received == [b"through"]


def test_a_flood_of_connections_is_looked_away_from_and_members_get_through(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("meshcache.edges.handshakes.FLOOD_PER_S", 20)
    monkeypatch.setattr(listener_module, "FLOOD_REST_S", 2.0)
    node, member = make(), make()
    host, _, port = node.transport.address.rpartition(":")

    def flooded() -> bool:
        for _ in range(20):
            socket.create_connection((host, int(port))).close()
        node.transport.tend()
        return "a flood of connections" in caplog.text

    until(flooded)
    counts = [-1, node.transport.stats()["accepted"]]

    def settled() -> bool:
        """What was seen before the authenticator looked away may still be on its way through its thread."""
        counts.append(node.transport.stats()["accepted"])
        return len(counts) > 12 and len(set(counts[-10:])) == 1

    until(settled)
    before = node.transport.stats()["accepted"]
    member.send(node, b"through")
    node.receives(b"through")
    assert node.transport.stats()["accepted"] == before, "nobody looks now"

    def looked_at_again() -> bool:
        node.transport.tend()
        socket.create_connection((host, int(port))).close()
        return node.transport.stats()["accepted"] > before

    until(looked_at_again)


def test_what_is_read_too_late_is_a_flood_too(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handshakes, "FLOOD_PER_S", 1_000_000)
    monkeypatch.setattr(handshakes, "BEHIND_S_MAX", 0.1)
    turns = threading.Semaphore(0)
    node = make(hold=lambda _: turns.acquire())

    def looked_away() -> bool:
        comes_and_goes(node, 2)
        turns.release()
        node.transport.tend()
        return "a flood of connections" in caplog.text

    try:
        until(looked_away)
    finally:
        turns.release(1_000_000)


def test_a_flood_that_the_gate_has_not_read_holds_up_no_message_and_no_close() -> None:
    in_a_process(a_flood_while_the_gate_stands_still)


def a_flood_while_the_gate_stands_still() -> None:
    told = io.StringIO()
    logging.basicConfig(stream=told)
    go_on = threading.Event()
    node, member, newcomer = Node(hold=lambda _: go_on.wait()), Node(), Node()
    for each in (node, member, newcomer):
        each.transport.bind()
    member.send(node, b"before")
    node.receives(b"before")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(handshakes, "FLOOD_PER_S", 0)
        comes_and_goes(node, MANY)
        member.send(node, b"during")
        node.receives(b"during")
        until(lambda: node.transport.tend() or "a flood of connections" in told.getvalue())
    go_on.set()
    newcomer.send(node, b"after")
    node.receives(b"after")
    for each in (node, member, newcomer):
        each.transport.close()


def test_closing_in_a_flood_that_the_gate_has_not_read_comes_to_an_end() -> None:
    in_a_process(closing_while_the_gate_stands_still)


def closing_while_the_gate_stands_still() -> None:
    go_on = threading.Event()
    node = Node(hold=lambda _: go_on.wait())
    node.transport.bind()
    comes_and_goes(node, MANY)
    until(lambda: node.seen)
    threading.Timer(0.2, go_on.set).start()
    node.transport.close()


def test_where_no_descriptor_is_left_to_look_again_with_it_is_tried_again() -> None:
    in_a_process(looking_again_without_a_descriptor)


def looking_again_without_a_descriptor() -> None:
    told = io.StringIO()
    logging.basicConfig(stream=told)
    node, member = Node(), Node()
    for each in (node, member):
        each.transport.bind()

    def flooded() -> bool:
        comes_and_goes(node)
        node.transport.tend()
        return "a flood of connections" in told.getvalue()

    def refused() -> bool:
        node.transport.tend()
        return "still are not counted" in told.getvalue()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(listener_module, "FLOOD_REST_S", 0.05)
        patched.setattr(handshakes, "FLOOD_PER_S", 0)
        until(flooded)
        patched.setattr(handshakes, "FLOOD_PER_S", 1_000_000)
        with no_descriptor_for(zmq.PAIR):
            until(refused)
            first, later = time.monotonic(), told.getvalue()
            until(lambda: node.transport.tend() or time.monotonic() - first > 0.2)
            assert told.getvalue() == later, "said once"
            comes_and_goes(node)
        member.send(node, b"through")
        node.receives(b"through")

        def counted() -> bool:
            node.transport.tend()
            comes_and_goes(node)
            return node.transport.stats()["accepted"] > before

        before = node.transport.stats()["accepted"]
        until(counted)
    for each in (node, member):
        each.transport.close()


def test_a_message_of_several_frames_is_no_message(make: Make) -> None:
    node = make()
    with zmq.Context() as context:
        client = member_client(context, node)
        assert client.poll(5000, zmq.POLLOUT)
        client.send_multipart([b"one", b"two"])
        node.receives(b"")
        client.close()
    assert node.received == [b""]


def test_a_port_in_use_is_an_error_that_names_the_address(make: Make) -> None:
    taken = make().transport.address
    before = threading.active_count()
    with pytest.raises(TransportError, match=f"mesh.listen: {taken} can't be had: Address"):
        Node(listen=taken).transport.bind()
    until(lambda: threading.active_count() == before)


def test_a_member_that_sends_too_much_in_one_frame_is_cut_off(make: Make) -> None:
    node = make()
    with zmq.Context() as context:
        client = member_client(context, node)
        assert client.poll(5000, zmq.POLLOUT)
        client.send(bytes(MESSAGE_BYTES_MAX + 1))
        client.send(b"after")
        member = make()
        member.send(node, b"other")
        node.receives(b"other")
        assert bytes(MESSAGE_BYTES_MAX + 1) not in node.received
        client.close()
