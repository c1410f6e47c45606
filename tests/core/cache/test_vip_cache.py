"""A VIP's share of the cache: order of use, limits, and the walk through all shares."""

from __future__ import annotations

from meshcache.core.cache.entry import ENTRY_OVERHEAD_BYTES, HEAD_BYTES
from meshcache.core.cache.vip_cache import Sweep, VipCache

PACKED = b"\0" * HEAD_BYTES + b"der"


def share(*ids: bytes, sessions_max: int = 10) -> VipCache:
    made = VipCache(10_000, sessions_max)
    for session_id in ids:
        made.put(session_id, PACKED)
    return made


def test_the_one_used_longest_ago_is_the_oldest() -> None:
    entries = share(b"a", b"b", b"c")
    assert entries.oldest() == b"a"
    entries.get(b"a")
    assert entries.oldest() == b"b"
    entries.pop(b"b")
    assert entries.oldest() == b"c"


def test_bytes_follow_what_comes_and_goes() -> None:
    entries = share(b"a", b"b")
    assert entries.bytes == 2 * (1 + 3 + ENTRY_OVERHEAD_BYTES)
    assert entries.pop(b"a") == PACKED
    assert entries.pop(b"a") is None
    assert entries.bytes == 4 + ENTRY_OVERHEAD_BYTES


def test_it_is_over_by_entries_or_by_bytes() -> None:
    assert not share(b"a", b"b", sessions_max=2).over()
    assert share(b"a", b"b", b"c", sessions_max=2).over()
    small = VipCache(ENTRY_OVERHEAD_BYTES + 4, 10)
    small.put(b"a", PACKED)
    assert not small.over()
    small.put(b"b", PACKED)
    assert small.over()
    assert small.fits(ENTRY_OVERHEAD_BYTES + 4)
    assert not small.fits(ENTRY_OVERHEAD_BYTES + 5)


def test_a_sweep_meets_every_entry_once_a_round() -> None:
    shares = [share(*(b"%d-%d" % (at, number) for number in range(5))) for at in range(3)]
    sweep = Sweep()
    met = [session_id for _ in range(9) for _, session_id in sweep.take(shares, 2)]
    assert sorted(met) == sorted(session_id for one in shares for session_id in one.entries)
