"""Tests of `core.repair.gaps`: who tells of many gaps takes nobody else's room, nor turn."""

from __future__ import annotations

from meshcache.core.repair.gaps import Gap, Gaps
from meshcache.core.values.session import StreamKey


def key(origin: str, life: int = 1) -> StreamKey:
    return StreamKey(origin, life, "shop")


def filled(gaps_max: int, **told: int) -> Gaps:
    """Gaps that each of these told of so many of, in others' streams."""
    gaps = Gaps(gaps_max)
    for teller, count in told.items():
        for at in range(count):
            assert gaps.add(key(f"ghost-of-{teller}", at + 1), Gap(9, 1.0, teller))
    return gaps


def of(gaps: Gaps) -> dict[str, int]:
    counts: dict[str, int] = {}
    for gap in gaps:
        counts[gap.teller] = counts.get(gap.teller, 0) + 1
    return counts


def test_where_there_is_room_everybody_may_tell_of_as_many_as_there_is_room_for() -> None:
    gaps = filled(10, a=9, b=1)
    assert gaps.full
    assert len(gaps) == 10


def test_whoever_told_of_the_most_makes_room_until_all_have_as_much() -> None:
    gaps = filled(10, a=10)
    for at in range(9):
        assert gaps.add(key("b", at + 1), Gap(9, 1.0, "b")) == (at < 5)
    assert of(gaps) == {"a": 5, "b": 5}
    assert [gaps.get(key("ghost-of-a", life)) is not None for life in range(1, 11)] == [True] * 5 + [False] * 5
    assert gaps.add(key("c"), Gap(9, 1.0, "c"))
    assert not gaps.add(key("b", 99), Gap(9, 1.0, "b"))
    assert sum(of(gaps).values()) == len(gaps) == 10


def test_who_told_of_the_most_gets_no_room_of_others() -> None:
    gaps = filled(10, a=8, b=2)
    assert not gaps.add(key("c"), Gap(9, 1.0, "a"))
    assert of(gaps) == {"a": 8, "b": 2}


def test_what_was_given_up_goes_first_also_for_who_told_of_the_most() -> None:
    gaps = filled(4, a=3, b=1)
    gaps.given_up(key("ghost-of-b", 1))
    assert gaps.add(key("c"), Gap(9, 1.0, "a"))
    assert gaps.get(key("ghost-of-b", 1)) is None
    assert not gaps.add(key("d"), Gap(9, 1.0, "a"))


def test_what_was_given_up_is_whose_who_tells_of_it_again() -> None:
    gaps = filled(4, a=1, b=3)
    gaps.given_up(key("ghost-of-a", 1))
    gaps.told(key("ghost-of-a", 1), "c")
    assert of(gaps) == {"b": 3, "c": 1}


def test_a_gap_is_its_origins_once_that_tells_of_it_and_nobody_elses_by_telling_of_it_too() -> None:
    gaps = filled(4)
    assert gaps.add(key("x"), Gap(9, 1.0, "liar"))
    for teller, whose in (("y", "liar"), ("x", "x"), ("liar", "x")):
        gaps.told(key("x"), teller)
        assert of(gaps) == {whose: 1}


def test_what_was_removed_leaves_its_room() -> None:
    gaps = filled(3, a=3)
    gaps.remove(key("ghost-of-a", 2))
    assert not gaps.full
    assert gaps.add(key("b"), Gap(9, 1.0, "a"))
    assert of(gaps) == {"a": 3}


def test_tellers_take_turns_and_of_each_what_is_due_first_is_first() -> None:
    gaps = filled(20)
    for at, (name, teller) in enumerate([("d", "a"), ("c", "a"), ("b", "a"), ("x", "b"), ("y", "b")]):
        assert gaps.add(key(name), Gap(9, 5.0 - at, teller))
    assert gaps.add(key("asked"), Gap(9, 1.0, "c", token=7))
    assert gaps.add(key("later"), Gap(9, 6.0, "c"))
    assert [found.origin for found, _ in gaps.due(5.0)] == ["y", "b", "x", "c", "d"]
    assert [found.origin for found, _ in gaps.due(2.0)] == ["y", "x"]
