"""Tests of `core.cache.consumed_ids`."""

from __future__ import annotations

import tracemalloc

from meshcache.core.cache.consumed_ids import ConsumedIds


def ident(number: int) -> bytes:
    return number.to_bytes(32)


def test_an_id_is_kept_for_a_while_and_then_forgotten() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    ids.add("shop", ident(1), 29.0, here="")
    assert ids.used_here("shop", ident(1)) is not None
    ids.expire(30.0)
    assert ids.used_here("shop", ident(1)) is not None, "it is one second old"
    ids.expire(59.9)
    assert ids.used_here("shop", ident(1)) is not None
    ids.expire(60.0)
    assert ids.used_here("shop", ident(1)) is None
    assert (len(ids), ids.forgotten) == (0, 0)


def test_after_a_long_silence_nothing_old_is_left() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    ids.add("shop", ident(1), 1.0, here="shop")
    ids.add("shop", ident(2), 1000.0, here="shop")
    assert (ids.used_here("shop", ident(1)) is not None, ids.used_here("shop", ident(2)) is not None) == (False, True)


def test_that_it_was_used_here_is_remembered_whoever_tells_it_again() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    assert ids.used_here("shop", ident(1)) is None
    ids.add("shop", ident(1), 1.0, here="")
    assert ids.used_here("shop", ident(1)) == ""
    ids.add("shop", ident(1), 2.0, here="shop")
    ids.add("shop", ident(1), 31.0, here="")
    assert ids.used_here("shop", ident(1)) == "shop"


def test_it_is_bounded_and_the_older_half_goes_first() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    for number in range(150):
        ids.add("shop", ident(number), 1.0, here="")
    assert len(ids) <= 100
    assert [
        ids.used_here("shop", ident(0)) is not None,
        ids.used_here("shop", ident(50)) is not None,
        ids.used_here("shop", ident(149)) is not None,
    ] == [False, True, True]
    assert ids.forgotten == 50


def test_places_are_those_of_ids_that_are_used_up() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    assert ids.places("shop", [ident(1)]) == []
    ids.add("shop", ident(2), 1.0, here="")
    assert ids.places("shop", [ident(1), ident(2), ident(2)]) == [1, 2]


def test_an_id_of_one_group_is_another_ones_own() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    ids.add("shop", ident(1), 1.0, here="shop")
    ids.add("other", ident(1), 1.0, here="")
    ids.add("other", ident(2), 1.0, here="")
    assert (ids.used_here("shop", ident(1)), ids.used_here("other", ident(1))) == ("shop", "")
    assert ids.places("shop", [ident(2), ident(1)]) == [1]


def test_a_thousand_a_second_take_less_than_ten_megabytes() -> None:
    tracemalloc.start()
    ids = ConsumedIds(131_072, 30.0, 0.0)
    for number in range(60_000):
        ids.add("shop", ident(number), number / 1000, here="")
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{len(ids)} ids take {taken / 1e6:.1f} MB")
    assert (len(ids), ids.forgotten) == (60_000, 0)
    assert taken < 10_000_000


def test_all_that_are_remembered_are_told_by_group_with_the_newest_last() -> None:
    ids = ConsumedIds(100, 30.0, 0.0)
    assert ids.by_group() == {}
    ids.add("shop", ident(0), 1.0, here="shop")  # 32 zero bytes, and a zero byte ends the group
    ids.add("other", ident(7), 1.0, here="")
    ids.add("shop", ident(2), 31.0, here="")
    assert ids.by_group() == {"shop": [ident(0), ident(2)], "other": [ident(7)]}
