"""That each option is set: what they do is seen in test_transport, where that can be seen in a second."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
import zmq

from meshcache.edges import sockets
from meshcache.edges.keyring import Keyring
from meshcache.edges.sockets import make_dealer, make_router, monitor_socket
from meshcache.edges.zap import DOMAIN
from tests.support.transports import open_descriptors
from tests.support.waiting import wait_until

KEY = Keyring.new().current
Socket = zmq.Socket[bytes]


@pytest.fixture
def context() -> Iterator[zmq.Context[Socket]]:
    with zmq.Context() as made:
        yield made


@pytest.fixture
def router(context: zmq.Context[Socket]) -> Iterator[Socket]:
    with make_router(context, KEY, "127.0.0.1:0") as made:
        yield made


@pytest.fixture
def dealer(context: zmq.Context[Socket]) -> Iterator[Socket]:
    with make_dealer(context, KEY, "127.0.0.1:1", Random(1)) as made:
        yield made


def test_the_listener_is_a_curve_server_that_nobody_passes_unasked(router: Socket) -> None:
    assert router.getsockopt(zmq.MECHANISM) == zmq.CURVE
    assert router.getsockopt(zmq.CURVE_SERVER) == 1
    assert router.getsockopt(zmq.ZAP_DOMAIN) == DOMAIN
    assert router.getsockopt(zmq.ZAP_ENFORCE_DOMAIN) == 1


def test_a_dialler_is_a_curve_client(dealer: Socket) -> None:
    assert dealer.getsockopt(zmq.MECHANISM) == zmq.CURVE
    assert dealer.getsockopt(zmq.CURVE_SERVER) == 0


def test_both_are_bounded_in_every_way(router: Socket, dealer: Socket) -> None:
    for made in (router, dealer):
        assert made.getsockopt(zmq.MAXMSGSIZE) == 1024 * 1024
        assert made.getsockopt(zmq.HANDSHAKE_IVL) == 5000
        assert made.getsockopt(zmq.HEARTBEAT_IVL) == 2000
        assert made.getsockopt(zmq.HEARTBEAT_TIMEOUT) == 6000
        assert made.getsockopt(zmq.HEARTBEAT_TTL) == 6000
        assert made.getsockopt(zmq.TCP_KEEPALIVE) == 1
        assert made.getsockopt(zmq.LINGER) == 0
    assert router.getsockopt(zmq.RCVHWM) == sockets.RECEIVE_QUEUE_MAX
    assert router.getsockopt(zmq.BACKLOG) == sockets.BACKLOG
    assert dealer.getsockopt(zmq.SNDHWM) == sockets.SEND_QUEUE_MAX
    assert dealer.getsockopt(zmq.IMMEDIATE) == 1
    assert dealer.getsockopt(zmq.CONNECT_TIMEOUT) == 5000


def test_each_dialler_has_pauses_of_its_own_between_tries(context: zmq.Context[Socket]) -> None:
    made = [make_dealer(context, KEY, "127.0.0.1:7946", Random(seed)) for seed in range(20)]
    firsts = {each.getsockopt(zmq.RECONNECT_IVL) for each in made}
    lasts = {each.getsockopt(zmq.RECONNECT_IVL_MAX) for each in made}
    for each in made:
        each.close(0)
    assert min(len(firsts), len(lasts)) > 5
    assert sockets.RECONNECT_MS // 2 <= min(firsts) <= max(firsts) <= sockets.RECONNECT_MS
    assert sockets.RECONNECT_MS_MAX // 2 <= min(lasts) <= max(lasts) <= sockets.RECONNECT_MS_MAX


def test_ipv6_is_spoken_where_the_address_is_one(context: zmq.Context[Socket]) -> None:
    for address, expected in (("[::1]:0", 1), ("127.0.0.1:0", 0)):
        with make_router(context, KEY, address) as router, make_dealer(context, KEY, address, Random(1)) as dealer:
            assert [made.getsockopt(zmq.IPV6) for made in (router, dealer)] == [expected, expected]


def test_a_monitor_that_cannot_be_had_leaves_no_descriptor(context: zmq.Context[Socket], router: Socket) -> None:
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(zmq.ZMQError):
            monitor_socket(context, router, zmq.EVENT_ALL, "tcp://127.0.0.1:1")  # libzmq takes inproc alone
    wait_until(lambda: open_descriptors() <= before)
