import logging
import threading
from collections.abc import Iterator

import pytest
import zmq
import zmq.utils.z85

from meshcache.edges import gate as module
from meshcache.edges.gate import Gate
from meshcache.edges.handshakes import (
    DIALLER_EVENTS,
    LISTENER_EVENTS,
    DiallerWatch,
    LinkEvent,
    LinkUp,
    ListenerWatch,
    Refusal,
    Refused,
)
from meshcache.edges.keyring import Keyring
from meshcache.edges.sockets import monitor_socket
from meshcache.edges.zap import DOMAIN, ENDPOINT
from tests.support.waiting import wait_until

Context = zmq.Context[zmq.Socket[bytes]]


@pytest.fixture
def context() -> Iterator[Context]:
    with zmq.Context() as made:
        yield made


@pytest.fixture
def seen() -> list[LinkEvent]:
    return []


@pytest.fixture
def gate(context: Context, seen: list[LinkEvent]) -> Iterator[Gate]:
    made = Gate(context, seen.append)
    made.start()
    yield made
    made.close()


def ask(context: Context, key: bytes, address: bytes = b"10.0.0.9") -> bytes:
    """What the gate answers to libzmq: a status code."""
    with context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, 5000)
        socket.connect(ENDPOINT)
        socket.send_multipart([b"1.0", b"1", DOMAIN, address, b"", b"CURVE", key])
        return socket.recv_multipart()[2]


def raw(keyring: Keyring) -> bytes:
    decoded = zmq.utils.z85.decode(keyring.current.dialler.public)
    assert isinstance(decoded, bytes)
    return decoded


def test_nobody_is_let_in_before_a_keyring_says_who(gate: Gate, context: Context) -> None:
    keyring = Keyring.new()
    assert ask(context, raw(keyring)) == b"400"
    gate.allow(keyring)
    assert ask(context, raw(keyring)) == b"200"
    gate.allow(Keyring.new())
    assert ask(context, raw(keyring)) == b"400"


def test_a_listeners_key_is_no_key_to_come_in_with(gate: Gate, context: Context) -> None:
    keyring = Keyring.new()
    gate.allow(keyring)
    assert ask(context, zmq.utils.z85.decode(keyring.current.listener.public)) == b"400"


def test_each_refusal_is_counted_and_each_address_is_named_once(
    gate: Gate, context: Context, seen: list[LinkEvent], caplog: pytest.LogCaptureFixture
) -> None:
    gate.allow(Keyring.new())
    with caplog.at_level(logging.WARNING, "meshcache"):
        for address in (b"10.0.0.8", b"10.0.0.9", b"10.0.0.9"):
            ask(context, bytes(32), address)
        wait_until(lambda: len(seen) == 3)
    assert gate.refused() == {"another mesh key": 3}
    assert seen[0] == Refused("10.0.0.8", inbound=True, refusal=Refusal.OTHER_KEY)
    assert [record.getMessage().split()[4] for record in caplog.records] == ["10.0.0.8:", "10.0.0.9:"]


def test_while_keys_are_changed_a_refusal_is_no_warning(
    gate: Gate, context: Context, seen: list[LinkEvent], caplog: pytest.LogCaptureFixture
) -> None:
    gate.allow(Keyring.new().add())
    with caplog.at_level(logging.INFO, "meshcache"):
        ask(context, bytes(32))
        wait_until(lambda: seen)
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_only_so_many_addresses_are_named(
    gate: Gate,
    context: Context,
    seen: list[LinkEvent],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "NAMED_MAX", 2)
    gate.allow(Keyring.new())
    for number in range(5):
        ask(context, bytes(32), b"10.0.0.%d" % number)
    wait_until(lambda: len(seen) == 5)
    assert len(caplog.records) == 2
    assert gate.refused() == {"another mesh key": 5}


def test_a_monitor_is_watched_until_it_stops_and_closed_then(
    gate: Gate, context: Context, seen: list[LinkEvent]
) -> None:
    with context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as dealer:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        monitor = monitor_socket(context, dealer, DIALLER_EVENTS, "inproc://until-it-stops")
        gate.watch(monitor, DiallerWatch("peer", 1))
        dealer.connect(f"tcp://127.0.0.1:{port}")
        wait_until(lambda: LinkUp("peer") in seen)
        dealer.disable_monitor()
        wait_until(lambda: monitor.closed)


def test_what_is_left_of_a_monitor_that_is_over_is_not_read(gate: Gate, context: Context) -> None:
    with context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as dealer:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        monitor = monitor_socket(context, router, LISTENER_EVENTS, "inproc://over")
        dealer.connect(f"tcp://127.0.0.1:{port}")
        assert monitor.poll(60_000)
        router.disable_monitor()
        watch = ListenerWatch(str, over=True)
        gate.watch(monitor, watch)
        wait_until(lambda: monitor.closed)
        assert watch.accepted == 0


def test_a_fault_of_the_listener_does_not_end_the_gate(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_event: LinkEvent) -> None:
        raise RuntimeError("a bug")

    gate = Gate(context, fail)
    gate.start()
    assert ask(context, bytes(32)) == b"400"
    assert ask(context, bytes(32)) == b"400"
    gate.close()
    assert "goes on" in caplog.text


def test_closing_ends_the_thread_whether_it_began_or_not(context: Context) -> None:
    before = threading.active_count()
    Gate(context, lambda _: None).close()
    gate = Gate(context, lambda _: None)
    gate.start()
    gate.close()
    assert threading.active_count() == before
