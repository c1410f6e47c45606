"""What `doctor` says of tiers."""

from __future__ import annotations

from typing import Any

import pytest

from meshcache.doctor.finding import FindingState
from meshcache.doctor.tiers import REFUSALS, tier_findings


def tier(last: str = "", **counts: int) -> dict[str, Any]:
    figures = {"entries": 1200, "bytes": 480_000, "max_bytes": 1_000_000}
    return {"name": "disk", "open": True, "resting": False, "counts": counts, "last_fault": last, **figures}


def test_without_tiers_there_is_nothing_to_say() -> None:
    assert not list(tier_findings([]))


def test_one_that_is_well_says_how_full_it_is() -> None:
    (finding,) = tier_findings([tier(written=5)])
    assert (finding.state, finding.text) == (FindingState.FINE, "1,200 sessions, 48% full")


def test_one_that_fails_is_a_problem_with_the_last_fault() -> None:
    (finding,) = tier_findings([tier("raised: No space left on device", raised=3) | {"resting": True}])
    assert finding.state is FindingState.PROBLEM
    assert finding.text == "raised 3; the last: raised: No space left on device; it rests now"


def test_one_that_has_recovered_is_a_note() -> None:
    (found,) = tier_findings([tier("No space left on device", raised=3) | {"failing": False}])
    assert found.state is FindingState.NOTE
    assert "No space left on device" in found.text


def test_one_that_cant_be_opened_or_lacks_its_package_is_a_problem() -> None:
    (shut,) = tier_findings([tier("raised: another node's", raised=1) | {"open": False}])
    (absent,) = tier_findings([tier("not_loaded: No module named lmdb", not_loaded=2) | {"open": False}])
    assert "can't be opened" in shut.text
    assert "meshcache[disk]" in absent.do


def test_one_that_began_empty_or_is_too_slow_is_a_note() -> None:
    findings = list(tier_findings([tier(begun_anew=1, skipped=8)]))
    assert [finding.state for finding in findings] == [FindingState.NOTE, FindingState.NOTE]


def test_one_in_which_lies_what_had_to_go_is_a_problem() -> None:
    (finding,) = tier_findings([tier(removals_lost=3)])
    assert finding.state is FindingState.PROBLEM
    assert finding.text.startswith("3 sessions")


@pytest.mark.parametrize("reason", REFUSALS)
def test_each_refusal_is_told_with_what_to_do(reason: str) -> None:
    (finding,) = tier_findings([tier(**{reason: 4})])
    assert finding.text.startswith("4 values: ")
    assert finding.do
    assert (finding.state is FindingState.PROBLEM) == (reason in ("refused_forged", "refused_record", "refused_clock"))


def test_a_store_that_evicts_nothing_is_told() -> None:
    (bounded,) = tier_findings([tier(written=1, noeviction=0) | {"noeviction": 1, "store_max_bytes": 10**9}])
    (unbounded,) = tier_findings([tier(written=1) | {"noeviction": 1, "store_max_bytes": 0}])
    assert (bounded.state, unbounded.state) == (FindingState.PROBLEM, FindingState.NOTE)
    assert "allkeys-lru" in bounded.do
    assert "maxmemory" in unbounded.do
