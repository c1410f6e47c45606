"""Journal against a dict, and its bounds on memory and work."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.cache.journal import SPAN_MAX, SPARSE_MAX, Journal, NamedIds


class Names:
    """Names of eight bytes for ids, as the compiled cache gives them."""

    def __init__(self) -> None:
        self.ids: dict[int, bytes] = {}

    def name_of(self, session_id: bytes) -> int:
        number = hash(session_id) & (1 << 64) - 1 or 1
        self.ids[number] = session_id
        return number

    def id_of(self, number: int, _seq: int) -> bytes | None:
        return self.ids.get(number)


def plain() -> Journal:
    return Journal()


def named() -> Journal:
    names = Names()
    return Journal(names.name_of, names.id_of)


both = pytest.mark.parametrize("make", [plain, named])

steps = st.lists(st.tuples(st.booleans(), st.integers(1, 900)), max_size=300)


def held(journal: Journal, upto: int = 1 << 62) -> dict[int, bytes]:
    return dict(journal.downwards(upto))


def name(seq: int) -> bytes:
    return b"%d" % seq


@both
@given(steps)
def test_within_the_span_it_is_a_dict_in_order(make: Callable[[], Journal], taken: list[tuple[bool, int]]) -> None:
    journal, model = make(), {}
    for adds, seq in taken:
        if adds:
            journal.add(seq, name(seq))
            model[seq] = name(seq)
        else:
            journal.remove(seq)
            model.pop(seq, None)
        assert journal.count == len(model)
    assert list(journal.between(1, 900)) == sorted(model.items())
    assert list(journal.downwards(901)) == sorted(model.items(), reverse=True)


@both
@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10**9)), max_size=200))
def test_whatever_is_claimed_it_never_invents_an_entry_and_stays_small(
    make: Callable[[], Journal], taken: list[tuple[bool, int]]
) -> None:
    journal, model = make(), {}
    for adds, seq in taken:
        if adds:
            journal.add(seq, name(seq))
            model[seq] = name(seq)
        else:
            journal.remove(seq)
            model.pop(seq, None)
        found = held(journal)
        assert found.items() <= model.items()
        assert {seq for seq in model if seq > journal.lost} <= found.keys()
        assert journal.count == len(found)
        assert journal.slots <= max(1024, SPARSE_MAX * (len(model) + 1))


@both
@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 900))
def test_between_and_downwards_give_what_was_asked_for_and_no_more(
    make: Callable[[], Journal], first: int, last: int, before: int
) -> None:
    journal = make()
    for seq in range(1, 901, 3):
        journal.add(seq, name(seq))
    assert [seq for seq, _ in journal.between(first, last)] == [s for s in range(1, 901, 3) if first <= s <= last]
    assert [seq for seq, _ in journal.downwards(before)] == [s for s in range(898, 0, -3) if s < before]


@both
def test_the_newest_entry_is_always_noted_after_a_jump_ahead(make: Callable[[], Journal]) -> None:
    journal = make()
    journal.add(1, b"old")
    journal.add(10**12, b"new")
    assert held(journal) == {10**12: b"new"}
    assert journal.slots == 1


@both
def test_it_says_up_to_which_number_it_may_lack_what_is_in_the_cache(make: Callable[[], Journal]) -> None:
    journal = make()
    for seq in (5, 6, 7):
        journal.add(seq, name(seq))
    assert journal.lost == 0
    journal.add(10**12, b"new")
    assert journal.lost == 7
    journal.add(9, b"too low by far")
    assert journal.lost == 9
    journal.add(10**12 - 1, b"within its room")
    assert journal.lost == 9


@both
def test_a_snapshot_that_comes_newest_first_is_noted_down_to_its_end(make: Callable[[], Journal]) -> None:
    journal = make()
    for start in range(5_000_000, 4_990_000, -64):
        for seq in range(start, start + 64):
            journal.add(seq, name(seq))
    assert journal.count == 64 * len(range(5_000_000, 4_990_000, -64))
    assert journal.slots < journal.count + 2048


@both
def test_one_old_session_that_stays_does_not_hold_a_span_of_megabytes(make: Callable[[], Journal]) -> None:
    journal = make()
    journal.add(1, b"busy")
    for seq in range(2, 60_000):
        journal.add(seq, name(seq))
        if seq > 12:
            journal.remove(seq - 10)
    assert journal.count <= 12
    assert journal.slots <= 1024
    assert held(journal)[59_999] == name(59_999)


@both
def test_the_span_is_bounded_in_a_long_dense_stream(make: Callable[[], Journal]) -> None:
    journal = make()
    for seq in range(1, SPAN_MAX + 20_000):
        journal.add(seq, b"x")
    assert journal.slots <= SPAN_MAX
    assert journal.count == journal.slots
    assert next(journal.downwards(1 << 62))[0] == SPAN_MAX + 19_999
    assert journal.lost == journal.lowest - 1


@both
def test_a_journal_that_emptied_keeps_no_slots_and_takes_lower_numbers_again(make: Callable[[], Journal]) -> None:
    journal = make()
    for seq in range(100, 200):
        journal.add(seq, name(seq))
    for seq in range(100, 200):
        journal.remove(seq)
    assert (journal.count, journal.slots) == (0, 0)
    journal.add(7, b"seven")
    assert held(journal) == {7: b"seven"}


@both
def test_removing_what_is_not_there_changes_nothing(make: Callable[[], Journal]) -> None:
    journal = make()
    journal.add(5, b"five")
    for seq in (1, 4, 6, 10**9):
        journal.remove(seq)
    assert held(journal) == {5: b"five"}


@both
def test_repr_counts_and_shows_no_id(make: Callable[[], Journal]) -> None:
    journal = make()
    journal.add(3, b"secret-session-id")
    assert "secret" not in repr(journal)
    assert "1" in repr(journal)


@pytest.mark.parametrize("first", [1, 4, 2000])
def test_names_as_they_lie_in_memory_are_noted_like_ids(first: int) -> None:
    names = Names()
    one, other = Journal(names.name_of, names.id_of), Journal(names.name_of, names.id_of)
    for begin in (1, first, first + 3, 1 << 40):
        ids = [name(seq) for seq in range(begin, begin + 3)]
        one.extend(begin, ids)
        other.extend_named(begin, array("Q", map(names.name_of, ids)).tobytes())
    assert held(one) == held(other)
    assert (one.count, one.oldest(), one.slots) == (other.count, other.oldest(), other.slots)


def test_names_are_ids_where_somebody_asks_and_none_for_what_is_gone() -> None:
    ids = {(10 + at, 5 + at): b"id%d" % at for at in range(4) if at != 2}
    named = NamedIds(array("Q", range(10, 14)).tobytes(), 5, lambda name, seq: ids.get((name, seq)))
    assert list(named) == [b"id0", b"id1", b"", b"id3"]
    assert (len(named), named[-1]) == (4, b"id3")
    first, rest = named[:1], named[1:]
    assert (list(first), list(rest), rest.first) == ([b"id0"], [b"id1", b"", b"id3"], 6)
    assert list(named[4:]) == []
    with pytest.raises(IndexError):
        named[4]
    assert repr(named) == "<NamedIds: 4 from #5>"


@both
@given(steps, st.integers(1, 40))
def test_runs_are_given_newest_first_and_as_many_as_asked_for(
    make: Callable[[], Journal], taken: list[tuple[bool, int]], most: int
) -> None:
    journal = make()
    for adds, seq in taken:
        (journal.add(seq, name(seq)) if adds else journal.remove(seq))
    every = list(journal.newest_runs(1000))
    assert sorted(seq for first, last in every for seq in range(first, last + 1)) == sorted(held(journal))
    assert all(first > last + 1 for (first, _), (_, last) in pairwise(every))
    assert list(journal.newest_runs(most)) == every[:most]
