"""What the compiled cache filed by itself, and how the core comes to know of it: several streams in one sleep."""

from __future__ import annotations

import pytest

from meshcache import hot
from meshcache.core.cache.cache import SessionCache
from meshcache.core.cache.entry import Entries
from meshcache.core.cache.filed_in_c import FiledInC
from meshcache.core.cache.streams import Stream, StreamTable
from meshcache.core.cache.vip_cache import VipCache
from meshcache.core.policy.gates import REACH_COLO, Terms
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import Batch, Push
from meshcache.core.wire.push_template import envelope_of, head_of
from tests.core.cache.tables import COMPILED, Make

DER = b"d" * 134
ROOM = 100
PUSH = 20

pytestmark = pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)


class House:
    """A cache with room for a hundred sessions of one VIP, and one of this node's own in it."""

    def __init__(self, make: Make = COMPILED) -> None:
        self.table = StreamTable()
        self.cache = SessionCache(self.table, 0.0, make)
        self.cache.set_quota("shop", 1 << 30, ROOM)
        self.filed_in_c = FiledInC(self.cache)
        self.cache.put(self.stream("me"), 1, b"o" * 32, DER, 3600.0, 0.0)

    def terms(self, origin: str) -> Terms:
        return Terms(origin, "ams1", "shop", "shop", b"g" * 32, REACH_COLO)

    def stream(self, origin: str) -> Stream:
        stream = self.table.open(self.terms(origin), StreamKey(origin, 1, "shop"), "shop", 0.0)
        assert stream is not None
        return stream

    def pushes(self, origin: str, count: int) -> list[bytes]:
        """So many sessions from number 1 on, as they come over the wire."""
        pushes = []
        for first in range(1, count + 1, PUSH):
            seqs = list(range(first, min(first + PUSH, count + 1)))
            ids = [origin.encode().ljust(28, b"-") + seq.to_bytes(4, "big") for seq in seqs]
            columns = Entries(seqs, ids, [DER] * len(seqs), [3600] * len(seqs), [0] * len(seqs), [0] * len(seqs))
            batch = Batch(self.terms(origin), 1, (1, 1), seqs[0], seqs[-1], columns)
            pushes.append(encode(origin, 1, Push(batch)))
        return pushes

    def come(self, origin: str, count: int) -> tuple[Stream, int, bytes]:
        """Have C file them, without a word to the core; says what the core is told later."""
        stream, part = self.stream(origin), self.cache.vip_cache("shop")
        assert part is not None
        if stream.filed_in is None:
            stream.file_in(part)
        assert stream.reads is not None
        names, at = b"", 1
        for payload in self.pushes(origin, count):
            envelope, head = envelope_of(origin, 1), head_of(self.terms(origin), 1, 1)
            filed = stream.reads.file_push(payload, envelope, head, stream.index, at, 0, 86_400.0, 3_600)
            assert filed is not None
            names, at = names + filed[3], filed[0] + 1
        return stream, 1, names


def test_no_journal_names_what_made_room_for_another_stream() -> None:
    house = House()
    house.filed_in_c.note_pushes([house.come(origin, 90) for origin in ("x", "y", "z")])
    assert len(house.cache) == ROOM
    for stream in house.table:
        named = [session_id for _, session_id in stream.entries.between(1, 1_000)]
        assert all(house.cache.holds("shop", session_id) for session_id in named)
        assert len(named) == stream.entries.count == stream.cached


@pytest.mark.parametrize("order", ["xy", "yx"])
def test_who_floods_pushes_out_its_own_whoever_else_was_filed_in_the_same_sleep(order: str) -> None:
    house, counts = House(), {"x": 5, "y": 300}
    house.filed_in_c.note_pushes([house.come(origin, counts[origin]) for origin in order])
    assert len(house.cache) == ROOM
    assert house.cache.holds("shop", b"o" * 32)
    assert house.stream("x").cached == 5


def test_in_two_pieces_a_stream_is_noted_as_in_one() -> None:
    house = House()
    stream, _, names = house.come("x", 60)
    half = len(names) // 2
    house.filed_in_c.note_pushes([(stream, 1, names[:half]), (stream, 31, names[half:])])
    assert [seq for seq, _ in stream.entries.between(1, 1_000)] == list(range(1, 61))
    assert stream.cached == stream.entries.count == 60


def test_what_is_filed_is_offered_to_the_tiers_by_its_ids() -> None:
    house, offered = House(), list[bytes]()
    house.cache.call_when_filed(lambda _stream, ids: offered.extend(ids))
    house.filed_in_c.note_pushes([house.come("x", 3)])
    assert offered == [session_id for _, session_id in house.stream("x").entries.between(1, 3)]


def test_a_stream_whose_part_is_gone_or_in_python_is_for_the_long_way() -> None:
    house = House()
    stream, *_ = house.come("x", 1)
    assert house.filed_in_c.can(stream)
    house.cache.set_quota("shop", 1_000, ROOM)
    assert not house.filed_in_c.can(stream), "the largest wouldn't fit"
    in_python = House(VipCache)
    assert not in_python.filed_in_c.can(in_python.stream("me"))
