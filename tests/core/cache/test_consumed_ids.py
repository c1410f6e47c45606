"""Tests of `core.cache.consumed_ids`."""

from __future__ import annotations

import tracemalloc

from meshcache.core.cache.consumed_ids import ConsumedIds


def ident(number: int) -> bytes:
    return number.to_bytes(32)


def test_an_id_is_kept_for_a_while_and_then_forgotten() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    ids.add(ident(1), 29.0, here=False)
    assert ident(1) in ids
    ids.expire(30.0)
    assert ident(1) in ids, "it is one second old"
    ids.expire(59.9)
    assert ident(1) in ids
    ids.expire(60.0)
    assert ident(1) not in ids
    assert (len(ids), ids.forgotten) == (0, 0)


def test_after_a_long_silence_nothing_old_is_left() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    ids.add(ident(1), 1.0, here=True)
    ids.add(ident(2), 1000.0, here=True)
    assert (ident(1) in ids, ident(2) in ids) == (False, True)


def test_that_it_was_used_here_is_remembered_whoever_tells_it_again() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    assert ids.used_here(ident(1)) is None
    ids.add(ident(1), 1.0, here=False)
    assert ids.used_here(ident(1)) is False
    ids.add(ident(1), 2.0, here=True)
    ids.add(ident(1), 31.0, here=False)
    assert ids.used_here(ident(1)) is True


def test_it_is_bounded_and_the_older_half_goes_first() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    for number in range(150):
        ids.add(ident(number), 1.0, here=False)
    assert len(ids) <= 100
    assert [ident(0) in ids, ident(50) in ids, ident(149) in ids] == [False, True, True]
    assert ids.forgotten == 50


def test_places_are_those_of_ids_that_are_used_up() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    assert ids.places([ident(1)]) == []
    ids.add(ident(2), 1.0, here=False)
    assert ids.places([ident(1), ident(2), ident(2)]) == [1, 2]


def test_a_thousand_a_second_take_less_than_ten_megabytes() -> None:
    tracemalloc.start()
    ids = ConsumedIds(131_072, 30.0, 0.0)
    for number in range(60_000):
        ids.add(ident(number), number / 1000, here=False)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{len(ids)} ids take {taken / 1e6:.1f} MB")
    assert (len(ids), ids.forgotten) == (60_000, 0)
    assert taken < 10_000_000
