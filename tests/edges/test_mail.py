"""Both ways to take messages and hand them over, by pyzmq and compiled, on the same sockets with the same outcome."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest
import zmq

from meshcache import hot
from meshcache.edges import mail
from meshcache.edges.mail import Ready, Receive, Send, SendEach
from tests.support.waiting import wait_until

WAYS = {"pyzmq": (mail.receive_by_pyzmq, mail.send_by_pyzmq, mail.send_each_by_pyzmq, mail.ready_by_python)} | (
    {"compiled": ways} if (ways := mail.compiled()) else {}
)
QUEUE_MAX = 4
NAME = b"\0edge"
"""Of the connection, which looks as if ZeroMQ had given it."""


class Ends:
    """A ROUTER and a DEALER that is connected to it, and one of the ways."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        receive: Receive,
        send: Send,
        send_each: SendEach,
        ready: Ready,
    ) -> None:
        self.receive, self.send, self.send_each, self.ready = receive, send, send_each, ready
        self.router, self.dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
        self.dealer.setsockopt(zmq.ROUTING_ID, NAME)
        self.dealer.setsockopt(zmq.SNDHWM, QUEUE_MAX)
        for end in (self.router, self.dealer):
            end.setsockopt(zmq.LINGER, 0)
        self.router.bind("inproc://mail")
        self.dealer.connect("inproc://mail")
        self.received: list[tuple[bytes, bytes]] = []

    def receives(self, *messages: bytes) -> bool:
        """Whether those came, in this order, on the connection's name."""
        wait_until(lambda: self.read() >= len(messages))
        return self.received == [(NAME, each) for each in messages]

    def read(self) -> int:
        """Take what is here; how many there are in all."""
        self.received += self.receive(self.router, 32)
        return len(self.received)


@pytest.fixture(params=sorted(WAYS))
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    with zmq.Context() as context:
        ends = Ends(context, *WAYS[request.param])
        yield ends
        ends.router.close()
        ends.dealer.close()


def test_the_compiled_way_is_there_where_the_module_is() -> None:
    assert ("compiled" in WAYS) == (hot.compiled is not None)


def test_messages_arrive_whole_and_in_order(ends: Ends) -> None:
    payloads = [b"", b"\0", os.urandom(33), os.urandom(100_000)]
    assert all(ends.send(ends.dealer, payload) for payload in payloads)
    assert ends.receives(*payloads)
    assert ends.receive(ends.router, 32) == []


def test_no_more_are_taken_than_were_asked_for(ends: Ends) -> None:
    for payload in (b"one", b"two", b"three"):
        ends.send(ends.dealer, payload)
    assert ends.receive(ends.router, 0) == []
    assert ends.receive(ends.router, 2) == [(NAME, b"one"), (NAME, b"two")]
    assert ends.receives(b"three")


@pytest.mark.parametrize("frames", [[b"one", b"two"], [b"", b"one"], [b"a"] * 9])
def test_a_message_of_several_frames_is_an_empty_one(ends: Ends, frames: list[bytes]) -> None:
    ends.dealer.send_multipart(frames)
    ends.send(ends.dealer, b"after")
    assert ends.receives(b"", b"after")


@pytest.mark.parametrize("name", [b">10.0.0.7:7946#1.1", b">", b"edge-", b"\0", b"\0edge1", b"\0" * 255])
@pytest.mark.parametrize("frames", [[b"one"], [b"one", b"two"]])
def test_what_comes_under_a_name_that_its_sender_chose_is_empty_and_of_nobody(
    ends: Ends, name: bytes, frames: list[bytes]
) -> None:
    with ends.router.context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.ROUTING_ID, name)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect("inproc://mail")
        dealer.send_multipart(frames)
        wait_until(ends.read)
    assert ends.received == [(b"", b"")]


def test_a_full_queue_takes_nothing(ends: Ends) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as lonely:
        lonely.setsockopt(zmq.LINGER, 0)
        assert not ends.send(lonely, b"to nobody")
    taken = 0
    while taken <= 2000 and ends.send(ends.dealer, b"x"):
        taken += 1
    assert QUEUE_MAX <= taken <= 2000
    assert ends.receives(*[b"x"] * min(taken, 32))


def test_of_several_those_with_full_queues_are_told_and_the_others_get_it(ends: Ends) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as lonely, context.socket(zmq.DEALER) as alone:
        for each in (lonely, alone):
            each.setsockopt(zmq.LINGER, 0)
        payload = os.urandom(300)
        assert ends.send_each([lonely, ends.dealer, alone], payload) == [0, 2]
        assert ends.send_each([ends.dealer], payload) == ends.send_each([], payload) == []
        assert ends.receives(payload, payload)


def test_a_socket_that_was_closed_is_an_error_and_no_silence(ends: Ends) -> None:
    ends.router.close()
    ends.dealer.close()
    with pytest.raises((zmq.ZMQError, OSError)):
        ends.receive(ends.router, 1)
    with pytest.raises((zmq.ZMQError, OSError)):
        ends.send(ends.dealer, b"x")
    with pytest.raises((zmq.ZMQError, OSError)):
        ends.send_each([ends.dealer], b"x")


def test_after_none_was_found_the_descriptor_tells_of_the_next(ends: Ends) -> None:
    assert ends.receive(ends.router, 1) == []
    descriptor = int(ends.router.getsockopt(zmq.FD))
    ends.send(ends.dealer, b"x")
    assert zmq.select([descriptor], [], [], 10.0)[0] == [descriptor]
    assert ends.receives(b"x")


def test_what_can_be_read_is_told_of_until_it_was_read(ends: Ends) -> None:
    pipes = [os.pipe() for _ in range(3)]
    with select.epoll() as readable:
        for read, _ in pipes:
            readable.register(read, select.EPOLLIN)
        assert ends.ready(readable) == []
        for _, write in pipes[:2]:
            os.write(write, b"x")
        assert sorted(ends.ready(readable)) == sorted(read for read, _ in pipes[:2])
        os.read(pipes[0][0], 1)
        assert ends.ready(readable) == [pipes[1][0]]
    with pytest.raises((ValueError, OSError)):
        ends.ready(readable)
    for each in pipes:
        os.close(each[0])
        os.close(each[1])
