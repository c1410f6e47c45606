"""The table of streams: found by key and by index, bounded, never losing one that entries refer to."""

from __future__ import annotations

import pytest

from meshcache.core.cache.streams import INDEXES, Stream, StreamTable
from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.core.values.ranges import RANGES_MAX
from meshcache.core.values.session import StreamKey

TERMS = Terms("edge-1", "ams1", "shop", "shop", b"d" * 32, REACH_COLO)


def opened(table: StreamTable, incarnation: int, now: float = 0.0) -> Stream:
    stream = table.open(TERMS, StreamKey("edge-1", incarnation, "shop"), "shop", now)
    assert stream is not None
    return stream


def test_a_stream_is_made_once_and_found_by_key_and_index() -> None:
    table = StreamTable()
    stream = opened(table, 1)
    assert opened(table, 1) is stream
    assert table.get(stream.key) is stream
    assert table.at(stream.index) is stream
    assert table.get(StreamKey("edge-1", 2, "shop")) is None
    assert (len(table), list(table)) == (1, [stream])


def test_opening_again_notes_that_it_is_active() -> None:
    table = StreamTable()
    assert opened(table, 1, now=3.0).last_active_at == 3.0
    assert opened(table, 1, now=9.0).last_active_at == 9.0


def test_the_longest_silent_makes_room() -> None:
    table = StreamTable(streams_max=2)
    first, second = opened(table, 1, now=0.0), opened(table, 2, now=1.0)
    opened(table, 1, now=2.0)
    third = opened(table, 3, now=3.0)
    assert {stream.key for stream in table} == {first.key, third.key}
    assert table.get(second.key) is None


def test_a_stream_that_holds_entries_is_never_dropped_to_make_room() -> None:
    table = StreamTable(streams_max=2)
    for incarnation in (1, 2):
        opened(table, incarnation).cached = 1
    assert table.open(TERMS, StreamKey("edge-1", 3, "shop"), "shop", 9.0) is None
    assert len(table) == 2


def test_what_this_node_publishes_in_never_makes_room_and_always_has_some() -> None:
    table = StreamTable(streams_max=2)
    own = table.publish(TERMS, StreamKey("edge-1", 1, "shop"), "shop", 0.0)
    second, third = opened(table, 2, now=1.0), opened(table, 3, now=2.0)
    assert set(map(id, table)) == {id(own), id(third)}, "the second makes room, though the first is silent for longer"
    third.cached = 1
    assert table.open(TERMS, second.key, "shop", 3.0) is None
    assert table.publish(TERMS, StreamKey("edge-1", 4, "shop"), "shop", 4.0) in table
    own.published = False
    assert opened(table, 5, now=5.0)
    assert own not in table, "what it published in before is one of many"


def test_dropping_a_stream_that_holds_entries_is_our_own_mistake() -> None:
    table = StreamTable()
    stream = opened(table, 1)
    stream.cached = 1
    with pytest.raises(AssertionError, match="by index"):
        table.drop(stream)


def test_a_dropped_stream_is_gone_and_its_index_is_not_used_next() -> None:
    table = StreamTable()
    stream = opened(table, 1)
    table.drop(stream)
    assert table.get(stream.key) is None
    assert opened(table, 1).index != stream.index


def test_indexes_fit_the_entry_header_and_pass_over_those_in_use() -> None:
    assert len((INDEXES - 1).to_bytes(4, "big")) == 4
    table = StreamTable(indexes=3)
    first, second = opened(table, 1), opened(table, 2)
    table.drop(second)
    assert [first.index, opened(table, 3).index, opened(table, 4).index] == [0, 2, 1]


def test_what_is_here_alone_counts_as_seen_when_all_are_to_hold_it_and_the_newest_where_it_is_scattered() -> None:
    stream = opened(StreamTable(), 1)
    stream.see(1, 4000, own=False)
    for seq in (3, 4, 9):
        stream.entries.add(seq, b"%d" % seq)
    stream.see_what_is_here()
    assert (list(stream.seen), stream.hearsay, stream.newest) == ([(3, 4), (9, 9)], None, 4000)
    for seq in range(11, 4001, 2):
        stream.entries.add(seq, b"%d" % seq)
    stream.see_what_is_here()
    assert list(stream.seen) == [(seq, seq) for seq in range(4001 - RANGES_MAX, 4001, 2)]
