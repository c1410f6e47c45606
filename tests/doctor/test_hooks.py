"""What `doctor` says of hooks."""

from __future__ import annotations

from typing import Any

from meshcache.doctor.finding import FindingState
from meshcache.doctor.hooks import hook_findings


def hook(kind: str, **counts: int) -> dict[str, Any]:
    return {"name": "mine", "kind": kind, "counts": counts, "resting": False, "last_fault": "raised: ValueError at x"}


def test_without_hooks_there_is_nothing_to_say() -> None:
    assert not list(hook_findings([]))


def test_hooks_that_are_well_are_one_line() -> None:
    (finding,) = hook_findings([hook("policy", calls=5, refused_send=2), hook("observer")])
    assert (finding.state, finding.text) == (FindingState.FINE, "2, all well")


def test_a_policy_that_fails_is_a_problem_and_another_hook_a_note() -> None:
    findings = list(hook_findings([hook("policy", calls=5, raised=2, slow=1), hook("observer", calls=1, missed=7)]))
    assert [finding.state for finding in findings] == [FindingState.PROBLEM, FindingState.NOTE]
    assert findings[0].text.startswith("raised 2, slow 1 of 5 calls; the last: raised: ValueError")


def test_one_that_rests_says_that_it_refuses() -> None:
    (finding,) = hook_findings([hook("policy", slow=1) | {"resting": True}])
    assert "it rests now, and refuses" in finding.text


def test_one_that_isnt_loaded_says_what_to_do() -> None:
    (finding,) = hook_findings([hook("observer", not_loaded=1)])
    assert finding.state is FindingState.PROBLEM
    assert "[hooks]" in finding.do
