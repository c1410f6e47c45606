import os
import socket

import pytest
import zmq

from meshcache.edges.handshakes import (
    BEHIND_S_MAX,
    FLOOD_PER_S,
    DiallerWatch,
    Flood,
    LinkDown,
    LinkUp,
    ListenerWatch,
    Refusal,
    Refused,
    peer_host,
)

CRYPTOGRAPHIC, MECHANISM, OTHER = 0x11000001, 0x11000002, 0x10000000


def test_a_dialled_link_is_up_after_its_handshake_and_down_once_after_it_ends() -> None:
    watch = DiallerWatch("10.0.0.4:7946", attempt=3)
    assert watch.see(zmq.EVENT_DISCONNECTED, 5) is None
    assert watch.see(zmq.EVENT_HANDSHAKE_SUCCEEDED, 0) == LinkUp("10.0.0.4:7946")
    assert watch.see(zmq.EVENT_DISCONNECTED, 5) == LinkDown("10.0.0.4:7946")
    assert watch.see(zmq.EVENT_DISCONNECTED, 5) is None


def test_a_dialler_says_how_it_was_turned_away() -> None:
    watch = DiallerWatch("10.0.0.4:7946", attempt=3)
    for event, value, refusal in (
        (zmq.EVENT_HANDSHAKE_FAILED_AUTH, 400, Refusal.OTHER_KEY),
        (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, 32, Refusal.CLOSED),
        (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, MECHANISM, Refusal.NOT_CURVE),
        (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, OTHER, Refusal.NOT_A_NODE),
    ):
        assert watch.see(event, value) == Refused("10.0.0.4:7946", inbound=False, refusal=refusal, attempt=3)


def test_a_listener_names_the_peer_of_the_connection_that_ends_after_the_failure() -> None:
    watch = ListenerWatch({4: "10.0.0.4", 5: "10.0.0.5"}.__getitem__)
    for descriptor in (4, 5):
        assert watch.see(zmq.EVENT_ACCEPTED, descriptor) is None
    assert watch.see(zmq.EVENT_HANDSHAKE_SUCCEEDED, 0) is None
    assert watch.see(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, CRYPTOGRAPHIC) is None
    assert watch.see(zmq.EVENT_DISCONNECTED, 5) == Refused("10.0.0.5", inbound=True, refusal=Refusal.OTHER_KEY)
    assert watch.see(zmq.EVENT_DISCONNECTED, 4) is None
    assert (watch.accepted, watch.succeeded) == (2, 1)


def test_a_connection_that_was_not_seen_to_begin_is_refused_without_a_name() -> None:
    watch = ListenerWatch(str)
    watch.see(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, MECHANISM)
    assert watch.see(zmq.EVENT_DISCONNECTED, 9) == Refused("unknown", inbound=True, refusal=Refusal.NOT_CURVE)


def test_a_flood_is_more_connections_a_second_than_any_start_makes() -> None:
    flood = Flood(100.0)
    assert not flood.is_one(10_000, 100.5)
    assert flood.is_one(10_000, 101.0)
    assert not flood.is_one(10_000 + FLOOD_PER_S, 102.0)
    assert flood.is_one(10_000 + 2 * FLOOD_PER_S + 1, 103.0)
    assert not flood.is_one(20_000, 200.0)


def test_it_is_a_flood_too_where_more_has_waited_for_too_long_whenever_something_was_read() -> None:
    watch, flood = ListenerWatch(str), Flood(100.0)
    for second, more in enumerate([True, True, False, *[True] * 7]):
        watch.note_waiting(more, 101.0 + second)
        assert flood.is_one(0, 101.0 + second, watch.behind_since) == (second > 3 + BEHIND_S_MAX)


def test_once_a_watch_is_over_the_next_event_is_its_last() -> None:
    watch = ListenerWatch(str)
    assert not watch.is_last(zmq.EVENT_ACCEPTED)
    assert watch.is_last(zmq.EVENT_MONITOR_STOPPED)
    watch.over = True
    assert watch.is_last(zmq.EVENT_ACCEPTED)


def test_the_peer_of_a_connection_is_its_address_and_the_connection_stays_as_it_was() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            assert peer_host(accepted.fileno()) == "127.0.0.1"
            accepted.send(b"still open")
            assert client.recv(16) == b"still open"


def test_the_peer_of_a_closed_connection_is_unknown() -> None:
    read, write = os.pipe()
    assert peer_host(read) == "unknown"
    os.close(read)
    assert peer_host(read) == "unknown"
    with pytest.raises(BrokenPipeError):  # no copy of the other end is left open
        os.write(write, b"x")
    os.close(write)


def test_nor_is_it_whatever_has_its_number_by_then() -> None:
    for family in (socket.AF_UNIX, socket.AF_INET):
        with socket.socket(family) as other:
            assert peer_host(other.fileno()) == "unknown"
    one, other = socket.socketpair()
    with one, other:
        assert peer_host(one.fileno()) == "unknown"
