"""A VIP's share of the cache: order of use, limits, and the walk through all shares."""

from __future__ import annotations

from random import Random

from meshcache.core.cache.entry import ENTRY_OVERHEAD_BYTES, HEAD_BYTES, Entries, pack_head, pack_many
from meshcache.core.cache.vip_cache import Sweep, VipEntries
from tests.core.cache.tables import Make, both_tables

PACKED = b"\0" * HEAD_BYTES + b"der"


pytestmark = both_tables


def vip_cache(make: Make, *ids: bytes, sessions_max: int = 10) -> VipEntries:
    made = make(10_000, sessions_max)
    for session_id in ids:
        made.put(session_id, PACKED)
    return made


def test_the_one_used_longest_ago_is_the_oldest(make: Make) -> None:
    entries = vip_cache(make, b"a", b"b", b"c")
    assert entries.oldest() == b"a"
    entries.get(b"a")
    assert entries.oldest() == b"b"
    entries.pop(b"b")
    assert entries.oldest() == b"c"


def test_bytes_follow_what_comes_and_goes(make: Make) -> None:
    entries = vip_cache(make, b"a", b"b")
    assert entries.bytes == 2 * (1 + 3 + ENTRY_OVERHEAD_BYTES)
    assert entries.pop(b"a") == PACKED
    assert entries.pop(b"a") is None
    assert entries.bytes == 4 + ENTRY_OVERHEAD_BYTES


def test_it_is_over_by_entries_or_by_bytes(make: Make) -> None:
    assert not vip_cache(make, b"a", b"b", sessions_max=2).over()
    assert vip_cache(make, b"a", b"b", b"c", sessions_max=2).over()
    small = make(ENTRY_OVERHEAD_BYTES + 4, 10)
    small.put(b"a", PACKED)
    assert not small.over()
    small.put(b"b", PACKED)
    assert small.over()
    assert small.fits(ENTRY_OVERHEAD_BYTES + 4)
    assert not small.fits(ENTRY_OVERHEAD_BYTES + 5)


def test_a_sweep_meets_every_entry_once_a_round(make: Make) -> None:
    vip_caches = [vip_cache(make, *(b"%d-%d" % (at, number) for number in range(5))) for at in range(3)]
    sweep = Sweep()
    met = [session_id for _ in range(9) for _, session_id in sweep.take(vip_caches, 2)]
    assert sorted(met) == sorted(session_id for one in vip_caches for session_id in one.ids())


def test_a_batch_is_filed_as_its_sessions_one_by_one_would_be(make: Make) -> None:
    ids, ders = [bytes([number]) * 32 for number in range(5)], [b"d" * (number + 1) for number in range(5)]
    batch = Entries(range(7, 12), ids, ders, [10, 2**40, 0, 3, 4], [0, 1, 2**40, 3, 4], [0, 1, False, True, 0])
    together, each = vip_cache(make, b"before"), vip_cache(make, b"before")
    together.put_many(9, batch, 100)
    for session_id, packed in zip(ids, pack_many(9, batch, 100), strict=True):
        each.put(session_id, packed)
    assert list(together.items()) == list(each.items())
    assert (together.bytes, len(together)) == (each.bytes, 6)
    assert together.holds_any([b"x", ids[3]])
    assert not together.holds_any([b"x"])


def test_another_head_keeps_the_place_and_the_der(make: Make) -> None:
    entries = vip_cache(make, b"a", b"b")
    head = pack_head(3, 4, 5.0, 6.0, 1)
    entries.rehead(b"a", head)
    entries.rehead(b"z", head)
    assert list(entries.items()) == [(b"a", head + PACKED[HEAD_BYTES:]), (b"b", PACKED)]
    assert entries.ids() == [b"a", b"b"]


def test_many_come_and_go_and_each_is_found(make: Make) -> None:
    entries = make(1 << 30, 1 << 30)
    for number in range(5000):
        entries.put(number.to_bytes(32, "big"), PACKED + number.to_bytes(4, "big"))
    for number in range(0, 5000, 3):
        assert entries.pop(number.to_bytes(32, "big")) is not None
    for number in range(5000):
        there = number % 3 != 0
        session_id = number.to_bytes(32, "big")
        assert (session_id in entries) is there
        assert entries.peek(session_id) == (PACKED + number.to_bytes(4, "big") if there else None)
    assert entries.ids() == [number.to_bytes(32, "big") for number in range(5000) if number % 3]
    for number in range(5000):
        assert (entries.pop(number.to_bytes(32, "big")) is not None) is (number % 3 != 0)
    assert (len(entries), entries.bytes, entries.ids()) == (0, 0, [])
    for number in range(40, 0, -1):
        entries.put(number.to_bytes(32, "big"), PACKED)
    assert entries.ids() == [number.to_bytes(32, "big") for number in range(40, 0, -1)]


def test_any_run_of_changes_leaves_what_a_dict_has(make: Make) -> None:
    """Few ids, so that slots are taken, given up and taken by others again and again."""
    entries, rng = make(1 << 30, 1 << 30), Random(5)
    kept: dict[bytes, bytes] = {}
    for _ in range(6000):
        session_id = rng.randrange(60).to_bytes(rng.choice((1, 32)), "big")
        if session_id in kept or rng.random() < 0.2:
            assert entries.pop(session_id) == kept.pop(session_id, None)
        else:
            packed = kept[session_id] = PACKED + rng.randbytes(3)
            entries.put(session_id, packed)
    assert list(entries.items()) == list(kept.items())
    assert all(entries.peek(session_id) == packed for session_id, packed in kept.items())
