"""The simulator can fail: planted bugs are caught, each by the checker that is there for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.simulation import plants
from tests.simulation.scenarios import run


def caught(seeds: range, words: str) -> str:
    """What was said at the first of these seeds that failed with these words."""
    for seed in seeds:
        violations = run("mixed", seed).violations
        if violations and words in violations[0]:
            return violations[0]
        assert not violations, violations
    return ""


def test_a_relay_that_does_not_ask_the_policy_is_caught() -> None:
    with plants.unjudged_relay():
        assert caught(range(1, 20), "to a node that may not have it")


def test_a_core_that_repairs_nothing_is_caught() -> None:
    with plants.no_repair():
        assert caught(range(1, 10), "lacks a session")


def test_a_network_without_the_faults_that_were_planned_is_caught() -> None:
    with plants.no_faults():
        assert caught(range(1, 10), "never happened")


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (plants.used_up_is_forgotten, "again that was used up"),
        (plants.used_up_is_not_told, "still has a session of ams1-1 that was used up"),
        (plants.clocks_are_believed, "future: not on_its_way"),
    ],
)
def test_a_core_that_forgets_what_was_used_up_or_takes_clocks_for_its_own_is_caught(
    plant: Callable[[], AbstractContextManager[None]], words: str
) -> None:
    seeds = (1, 19, 39, *range(2, 41))  # one in eight catches the first of them
    with plant():
        assert any(words in violation for seed in seeds for violation in run("single_use", seed).violations[:1])


@pytest.mark.parametrize("scenario", ["flaps", "relays"])
def test_figures_measured_without_faults_are_refused(scenario: str) -> None:
    with plants.no_faults():
        assert run(scenario, 1).violations
