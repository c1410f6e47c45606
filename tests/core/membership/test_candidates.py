"""Hints of where members may listen: bounded, patient with seeds, and forgotten when nobody answers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from meshcache.core.membership.candidates import SEED, Candidates
from meshcache.core.values.limits import Limits


def tries(candidates: Candidates, until: float) -> list[float]:
    """When something is dialled, up to a time."""
    found = []
    while (now := candidates.next_due()) <= until:
        if candidates.due(now, 0.0):
            found.append(now)
    return found


def test_an_address_is_tried_at_once_and_then_ever_slower() -> None:
    candidates = Candidates(Limits(hello_s=0.05, redial_s=5.0))
    candidates.hint("a:1", SEED, 100.0)
    found = tries(candidates, 160.0)
    pauses = [later - earlier for earlier, later in pairwise(found)]
    assert found[0] == 100.0
    assert pauses[0] == pytest.approx(0.05)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(5.0)


def test_a_seed_is_tried_for_ever_and_a_hint_is_not() -> None:
    for source, there in ((SEED, True), ("mdns", False)):
        candidates = Candidates(Limits())
        candidates.hint("a:1", source, 0.0)
        tries(candidates, 600.0)
        assert ("a:1" in candidates) is there


def test_a_seed_that_is_taken_out_is_tried_no_more_whether_it_had_answered_or_not() -> None:
    for answered in (False, True):
        candidates = Candidates(Limits())
        candidates.hint("a:1", SEED, 0.0)
        candidates.hint("a:1", SEED, 30.0)
        if answered:
            candidates.answered("a:1", "edge-1")
        before = candidates.generation
        candidates.lost("a:1", SEED)
        assert "a:1" not in candidates
        assert candidates.generation > before
        candidates.missing("edge-1", 40.0)
        assert candidates.next_due() == float("inf")


@pytest.mark.parametrize("sources", ((SEED, "mdns"), ("mdns", SEED), (SEED, "mdns", SEED)))
def test_a_seed_that_is_taken_out_and_known_otherwise_is_a_hint_from_then_on(sources: tuple[str, ...]) -> None:
    candidates = Candidates(Limits())
    for source in sources:
        candidates.hint("a:1", source, 0.0)
    tries(candidates, 600.0)
    candidates.lost("a:1", SEED)
    assert candidates.dialling() == ["a:1"]
    tries(candidates, 1200.0)
    assert "a:1" not in candidates


def test_what_is_a_hint_only_is_no_seed_to_be_taken_out() -> None:
    candidates = Candidates(Limits())
    candidates.hint("a:1", "dns", 0.0)
    candidates.want({"b:1": "b"}, 0.0)
    for address in ("a:1", "b:1", "c:1"):
        candidates.lost(address, SEED)
    assert candidates.dialling() == ["a:1", "b:1"]


def test_a_seed_is_known_otherwise_no_longer_than_somebody_says_so() -> None:
    candidates = Candidates(Limits())
    candidates.hint("a:1", SEED, 0.0)
    candidates.hint("a:1", "hook", 0.0)
    candidates.lost("a:1", "hook")
    assert "a:1" in candidates
    candidates.lost("a:1", SEED)
    assert "a:1" not in candidates


def test_a_seed_that_is_taken_out_is_wanted_as_a_relay_all_the_same() -> None:
    candidates = Candidates(Limits())
    candidates.hint("a:1", SEED, 0.0)
    candidates.want({"a:1": "a"}, 0.0)
    candidates.lost("a:1", SEED)
    candidates.want({"a:1": "a"}, 0.0)
    tries(candidates, 600.0)
    assert candidates.dialling() == ["a:1"]


def test_an_answered_hint_is_done_and_an_answered_seed_rests() -> None:
    candidates = Candidates(Limits())
    candidates.hint("a:1", SEED, 0.0)
    candidates.hint("b:1", "mdns", 0.0)
    candidates.answered("a:1", "edge-1")
    candidates.answered("b:1", "edge-2")
    assert candidates.dialling() == []
    assert "a:1" in candidates
    assert "b:1" not in candidates


def test_a_seed_is_tried_again_when_who_answered_is_missing() -> None:
    candidates = Candidates(Limits())
    candidates.hint("a:1", SEED, 0.0)
    candidates.answered("a:1", "edge-1")
    candidates.missing("edge-2", 5.0)
    assert candidates.dialling() == []
    candidates.missing("edge-1", 5.0)
    assert candidates.due(5.0, 0.0) == ["a:1"]


def test_the_table_is_bounded_and_a_flood_of_hints_pushes_no_seed_out() -> None:
    candidates = Candidates(Limits(candidates_max=4))
    assert candidates.hint("seed:1", SEED, 0.0)
    for at in range(20):
        candidates.hint(f"m{at}:1", "mdns", 0.0)
    assert len(candidates) == 4
    assert "seed:1" in candidates


def test_a_new_hint_takes_the_place_of_one_that_was_tried_in_vain() -> None:
    candidates = Candidates(Limits(candidates_max=1))
    candidates.hint("a:1", "mdns", 0.0)
    assert not candidates.hint("b:1", "mdns", 0.0)
    candidates.due(0.0, 0.0)
    assert candidates.hint("b:1", "mdns", 0.0)
    assert candidates.hint("seed:1", SEED, 0.0)
    assert candidates.dialling() == ["seed:1"]
    assert not candidates.hint("c:1", "mdns", 0.0)


def test_our_own_address_is_dropped_even_as_a_seed() -> None:
    candidates = Candidates(Limits())
    candidates.hint("me:1", SEED, 0.0)
    candidates.ourselves("me:1")
    assert len(candidates) == 0


def test_a_hint_that_comes_again_starts_anew_and_a_seed_stays_one() -> None:
    candidates = Candidates(Limits(candidate_tries=2))
    candidates.hint("a:1", "mdns", 0.0)
    tries(candidates, 0.2)
    candidates.hint("a:1", SEED, 0.2)
    candidates.hint("a:1", "mdns", 0.2)
    tries(candidates, 100.0)
    assert "a:1" in candidates


def test_a_hint_that_is_lost_is_tried_no_more_and_a_seed_is() -> None:
    candidates = Candidates(Limits())
    candidates.hint("a:1", SEED, 0.0)
    candidates.hint("b:1", "hook", 0.0)
    for address in ("a:1", "b:1", "c:1"):
        candidates.lost(address)
    assert candidates.dialling() == ["a:1"]


def test_a_seed_that_answered_once_is_dialled_again_where_a_link_to_it_is_needed() -> None:
    """Seed 527 of `mixed`: what a node had to be told was never sent, as its seed counted as answered."""
    candidates = Candidates(Limits())
    candidates.hint("x:1", "seed", 0.0)
    candidates.answered("x:1", "x")
    candidates.hint("x:1", "refused", 1.0)
    assert candidates.dialling() == []
    candidates.reopen("x:1", 1.0)
    candidates.reopen("y:1", 1.0)
    assert candidates.dialling() == ["x:1"]
    assert candidates.next_due() == 1.0
