"""Queues on the way out: bounded by messages and by bytes, the oldest dropped and counted."""

from __future__ import annotations

from random import Random

from meshcache.core.state.counters import Counters
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.refusals import Refusals
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.events import EventLog
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import Identity
from meshcache.core.wire.codec import Decoder
from meshcache.core.wire.messages import Ping, Refuse

ME = Identity("test", "me", 1, "ams1", "me:1", "0")


def post(**limits: int) -> tuple[Outbox, Counters]:
    counters, events = Counters(), EventLog()
    telemetry = Telemetry(counters, events, Refusals(events))
    return Outbox(LocalNode(ME, Limits(**limits), Random(1)), telemetry), counters


def tokens(queue: Outbox) -> list[tuple[str, int]]:
    messages = [(out.address, Decoder().decode(out.payload).message) for out in queue.drain()]
    return [(address, message.token) for address, message in messages if isinstance(message, Ping)]


def test_messages_keep_their_order_for_each_address() -> None:
    queue, _ = post()
    for token, address in enumerate(["a:1", "b:1", "a:1"]):
        queue.send(address, Ping(token))
    assert tokens(queue) == [("a:1", 0), ("a:1", 2), ("b:1", 1)]
    assert not queue
    assert queue.drain() == []


def test_a_message_to_many_is_encoded_once() -> None:
    queue, counters = post()
    queue.send_all(["a:1", "b:1"], Ping(1), sessions=3)
    first, second = queue.drain()
    assert first.payload is second.payload
    assert (counters.sent.messages, counters.sent.sessions) == (2, 6)
    assert counters.sent.bytes == 2 * len(first.payload)
    assert counters.sent.kinds[Ping] == 2


def test_nothing_is_encoded_for_nobody() -> None:
    queue, counters = post()
    queue.send_all([], Ping(1))
    assert not queue
    assert counters.sent.messages == 0


def test_a_full_queue_drops_its_oldest_and_no_other_queue_notices() -> None:
    queue, counters = post(queue_messages=3)
    queue.send("b:1", Ping(99))
    for token in range(5):
        queue.send("a:1", Ping(token))
    assert queue.waiting("a:1") == 3
    assert tokens(queue) == [("b:1", 99), ("a:1", 2), ("a:1", 3), ("a:1", 4)]
    assert counters.dropped["queue_full"] == 2


def test_a_queue_is_bounded_by_bytes_too() -> None:
    queue, counters = post(queue_bytes=200)
    for _ in range(10):
        queue.send("a:1", Refuse("x" * 50))
    assert sum(len(out.payload) for out in queue.drain()) <= 200
    assert counters.dropped["queue_full"] > 0


def test_what_waits_for_one_that_is_gone_is_forgotten() -> None:
    queue, _ = post()
    queue.send("a:1", Ping(1))
    queue.drop("a:1")
    queue.drop("a:1")
    assert not queue
