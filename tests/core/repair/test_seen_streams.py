"""What is seen of streams, and who may know of it."""

from __future__ import annotations

from meshcache.core.policy.gates import REACH_SERVER
from meshcache.core.repair.seen_streams import in_parts, newest_ranges
from meshcache.core.values.ranges import Ranges
from meshcache.core.values.session import SEQ_MAX, StreamKey
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import (
    MESSAGE_BYTES_MAX,
    VECTOR_ENTRIES_MAX,
    VECTOR_RANGES_MAX,
    VECTORS_MAX,
    Digest,
    Seen,
    Vector,
)
from tests.core.net import Net, Puppet, make, vip


def test_streams_that_a_peer_may_not_have_are_in_no_vector_and_no_digest() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", name="blog"), vip("me", name="shop"))
    net.run(3)
    peer = Puppet(net, "x", "ams1", vip("x"))
    shy = Puppet(net, "shy", "ams1", vip("shy", reach=REACH_SERVER))
    for puppet in (peer, shy):
        puppet.joins(host)
    make(net, host, 1, "shop")
    make(net, host, 2, "blog")
    net.run(0.1)
    for puppet in (peer, shy):
        puppet.says(host, Vector(2**32 - 1, (), wants_reply=True))
    assert [seen.key.vip for vector in peer.hears(Vector) for seen in vector.seen] == ["shop"]
    assert [vector.seen for vector in shy.hears(Vector)] == [()]
    shy.says(host, Digest(b"\0" * 128))
    assert len(shy.hears(Vector)) == 1


def test_a_vector_says_the_newest_ranges_of_a_stream_with_many_holes() -> None:
    seen = Ranges((at, at) for at in range(1, 400, 2))
    flat = newest_ranges(seen)
    assert len(flat) == 2 * VECTOR_RANGES_MAX
    assert flat[-1] == 399


def holes(count: int = VECTOR_RANGES_MAX) -> Ranges:
    """As many ranges, of numbers that take the most bytes."""
    return Ranges((SEQ_MAX - 2 * at, SEQ_MAX - 2 * at) for at in range(count))


def streams(count: int, seen: Ranges) -> list[tuple[StreamKey, Ranges]]:
    return [(StreamKey(f"n{at}", 2**52, "shop"), seen) for at in range(count)]


def longest(parts: list[tuple[Seen, ...]]) -> int:
    return max(len(encode("n" * 64, 2**52, Vector(2**32 - 1, part, wants_reply=True))) for part in parts)


def test_each_part_fits_into_a_message_and_together_they_have_every_stream() -> None:
    seen = streams(VECTOR_ENTRIES_MAX, holes())
    parts = in_parts(seen)
    assert [entry for part in parts for entry in part] == [Seen(key, newest_ranges(has)) for key, has in seen]
    assert longest(parts) <= MESSAGE_BYTES_MAX / 2


def test_streams_without_holes_go_into_one_message_up_to_their_number() -> None:
    assert [len(part) for part in in_parts(streams(2 * VECTOR_ENTRIES_MAX + 1, holes(1)))] == [512, 512, 1]
    assert in_parts([]) == [()]


def test_where_there_would_be_too_many_messages_each_stream_is_said_with_fewer_ranges() -> None:
    parts = in_parts(streams(8000, holes()))
    assert sum(map(len, parts)) == 8000
    assert len(parts) <= VECTORS_MAX
    assert {entry.ranges for part in parts for entry in part} == {newest_ranges(holes(8))}
    assert longest(parts) <= MESSAGE_BYTES_MAX / 2


def test_more_streams_than_all_messages_have_room_for_are_left_out() -> None:
    parts = in_parts(streams(VECTORS_MAX * VECTOR_ENTRIES_MAX + 1, holes()))
    assert [len(part) for part in parts] == [VECTOR_ENTRIES_MAX] * VECTORS_MAX
