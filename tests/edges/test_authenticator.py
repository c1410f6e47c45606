import logging
import threading
from collections.abc import Iterator

import pytest
import zmq
import zmq.utils.z85

from meshcache.edges import authenticator as module
from meshcache.edges.authenticator import Authenticator
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
def authenticator(context: Context, seen: list[LinkEvent]) -> Iterator[Authenticator]:
    made = Authenticator(context, seen.append)
    made.start()
    yield made
    made.close()


def ask(context: Context, key: bytes, address: bytes = b"10.0.0.9") -> bytes:
    """What the authenticator answers to libzmq: a status code."""
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


def test_nobody_is_let_in_before_a_keyring_says_who(authenticator: Authenticator, context: Context) -> None:
    keyring = Keyring.new()
    assert ask(context, raw(keyring)) == b"400"
    authenticator.allow(keyring)
    assert ask(context, raw(keyring)) == b"200"
    authenticator.allow(Keyring.new())
    assert ask(context, raw(keyring)) == b"400"


def test_a_listeners_key_is_no_key_to_come_in_with(authenticator: Authenticator, context: Context) -> None:
    keyring = Keyring.new()
    authenticator.allow(keyring)
    assert ask(context, zmq.utils.z85.decode(keyring.current.listener.public)) == b"400"


def test_each_refusal_is_counted_and_each_address_is_named_once(
    authenticator: Authenticator, context: Context, seen: list[LinkEvent], caplog: pytest.LogCaptureFixture
) -> None:
    authenticator.allow(Keyring.new())
    with caplog.at_level(logging.WARNING, "meshcache"):
        for address in (b"10.0.0.8", b"10.0.0.9", b"10.0.0.9"):
            ask(context, bytes(32), address)
        wait_until(lambda: len(seen) == 3)
    assert authenticator.refused() == {"another mesh key": 3}
    assert seen[0] == Refused("10.0.0.8", inbound=True, refusal=Refusal.OTHER_KEY)
    assert [record.getMessage().split()[4] for record in caplog.records] == ["10.0.0.8:", "10.0.0.9:"]


def test_while_keys_are_changed_a_refusal_is_no_warning(
    authenticator: Authenticator, context: Context, seen: list[LinkEvent], caplog: pytest.LogCaptureFixture
) -> None:
    authenticator.allow(Keyring.new().add())
    with caplog.at_level(logging.INFO, "meshcache"):
        ask(context, bytes(32))
        wait_until(lambda: seen)
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_only_so_many_addresses_are_named(
    authenticator: Authenticator,
    context: Context,
    seen: list[LinkEvent],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "NAMED_MAX", 2)
    authenticator.allow(Keyring.new())
    for number in range(5):
        ask(context, bytes(32), b"10.0.0.%d" % number)
    wait_until(lambda: len(seen) == 5)
    assert len(caplog.records) == 2
    assert authenticator.refused() == {"another mesh key": 5}


def test_a_monitor_is_watched_until_it_stops_and_closed_then(
    authenticator: Authenticator, context: Context, seen: list[LinkEvent]
) -> None:
    with context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as dealer:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        monitor = monitor_socket(context, dealer, DIALLER_EVENTS, "inproc://until-it-stops")
        authenticator.watch(monitor, DiallerWatch("peer", 1))
        dealer.connect(f"tcp://127.0.0.1:{port}")
        wait_until(lambda: LinkUp("peer") in seen)
        dealer.disable_monitor()
        wait_until(lambda: monitor.closed)


def test_what_is_left_of_a_monitor_that_is_over_is_not_read(authenticator: Authenticator, context: Context) -> None:
    with context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as dealer:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        monitor = monitor_socket(context, router, LISTENER_EVENTS, "inproc://over")
        dealer.connect(f"tcp://127.0.0.1:{port}")
        assert monitor.poll(60_000)
        router.disable_monitor()
        watch = ListenerWatch(str, over=True)
        authenticator.watch(monitor, watch)
        wait_until(lambda: monitor.closed)
        assert watch.accepted == 0


def test_a_fault_of_the_listener_does_not_end_the_thread(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_event: LinkEvent) -> None:
        raise RuntimeError("a bug")

    authenticator = Authenticator(context, fail)
    authenticator.start()
    assert ask(context, bytes(32)) == b"400"
    assert ask(context, bytes(32)) == b"400"
    authenticator.close()
    assert "goes on" in caplog.text


def test_closing_ends_the_thread_whether_it_began_or_not(context: Context) -> None:
    before = threading.active_count()
    Authenticator(context, lambda _: None).close()
    authenticator = Authenticator(context, lambda _: None)
    authenticator.start()
    authenticator.close()
    assert threading.active_count() == before
