import socket
import threading

import pytest
import zmq

from meshcache.edges import listener as listener_module
from meshcache.edges.sockets import MESSAGE_BYTES_MAX
from meshcache.errors import TransportError
from tests.support.transports import KEYRING, Make, Node, raw_client, until


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
        """What was seen before the gate looked away may still be on its way through its thread."""
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


def member_client(context: "zmq.Context[zmq.Socket[bytes]]", node: Node) -> "zmq.Socket[bytes]":
    client = raw_client(context, node.transport.address)
    client.setsockopt(zmq.CURVE_SERVERKEY, KEYRING.current.listener.public)
    client.setsockopt(zmq.CURVE_PUBLICKEY, KEYRING.current.dialler.public)
    client.setsockopt(zmq.CURVE_SECRETKEY, KEYRING.current.dialler.secret)
    client.connect(f"tcp://{node.transport.address}")
    return client


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
