"""Journal against a dict, and its bounds on memory and work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.cache.journal import SPAN_MAX, SPARSE_MAX, Journal

steps = st.lists(st.tuples(st.booleans(), st.integers(1, 900)), max_size=300)


def held(journal: Journal, upto: int = 1 << 62) -> dict[int, bytes]:
    return dict(journal.downwards(upto))


def name(seq: int) -> bytes:
    return b"%d" % seq


@given(steps)
def test_within_the_span_it_is_a_dict_in_order(taken: list[tuple[bool, int]]) -> None:
    journal, model = Journal(), {}
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


@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10**9)), max_size=200))
def test_whatever_is_claimed_it_never_invents_an_entry_and_stays_small(taken: list[tuple[bool, int]]) -> None:
    journal, model = Journal(), {}
    for adds, seq in taken:
        if adds:
            journal.add(seq, name(seq))
            model[seq] = name(seq)
        else:
            journal.remove(seq)
            model.pop(seq, None)
        found = held(journal)
        assert found.items() <= model.items()
        assert journal.count == len(found)
        assert journal.slots <= max(1024, SPARSE_MAX * (len(model) + 1))


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 900))
def test_between_and_downwards_give_what_was_asked_for_and_no_more(first: int, last: int, before: int) -> None:
    journal = Journal()
    for seq in range(1, 901, 3):
        journal.add(seq, name(seq))
    assert [seq for seq, _ in journal.between(first, last)] == [s for s in range(1, 901, 3) if first <= s <= last]
    assert [seq for seq, _ in journal.downwards(before)] == [s for s in range(898, 0, -3) if s < before]


def test_the_newest_entry_is_always_noted_after_a_jump_ahead() -> None:
    journal = Journal()
    journal.add(1, b"old")
    journal.add(10**12, b"new")
    assert held(journal) == {10**12: b"new"}
    assert journal.slots == 1


def test_a_snapshot_that_comes_newest_first_is_noted_down_to_its_end() -> None:
    journal = Journal()
    for start in range(5_000_000, 4_990_000, -64):
        for seq in range(start, start + 64):
            journal.add(seq, name(seq))
    assert journal.count == 64 * len(range(5_000_000, 4_990_000, -64))
    assert journal.slots < journal.count + 2048


def test_one_old_session_that_stays_does_not_hold_a_span_of_megabytes() -> None:
    journal = Journal()
    journal.add(1, b"busy")
    for seq in range(2, 60_000):
        journal.add(seq, name(seq))
        if seq > 12:
            journal.remove(seq - 10)
    assert journal.count <= 12
    assert journal.slots <= 1024
    assert held(journal)[59_999] == name(59_999)


def test_the_span_is_bounded_in_a_long_dense_stream() -> None:
    journal = Journal()
    for seq in range(1, SPAN_MAX + 20_000):
        journal.add(seq, b"x")
    assert journal.slots <= SPAN_MAX
    assert journal.count == journal.slots
    assert next(journal.downwards(1 << 62))[0] == SPAN_MAX + 19_999


def test_a_journal_that_emptied_keeps_no_slots_and_takes_lower_numbers_again() -> None:
    journal = Journal()
    for seq in range(100, 200):
        journal.add(seq, name(seq))
    for seq in range(100, 200):
        journal.remove(seq)
    assert (journal.count, journal.slots) == (0, 0)
    journal.add(7, b"seven")
    assert held(journal) == {7: b"seven"}


def test_removing_what_is_not_there_changes_nothing() -> None:
    journal = Journal()
    journal.add(5, b"five")
    for seq in (1, 4, 6, 10**9):
        journal.remove(seq)
    assert held(journal) == {5: b"five"}


def test_repr_counts_and_shows_no_id() -> None:
    journal = Journal()
    journal.add(3, b"secret-session-id")
    assert "secret" not in repr(journal)
    assert "1" in repr(journal)
