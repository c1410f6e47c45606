"""A slice of what `make sim` runs for long: random worlds and faults, and that a seed is all there is to a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.scenarios import run

ROOT = Path(__file__).parent.parent.parent

SEEDS = (14, 155, 36)
"""Those that found bugs, in their time."""


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_only_who_may_has_a_session_and_in_the_end_all_who_may(seed: int) -> None:
    report = run("mixed", seed)
    assert report.passed, str(report)


def test_what_is_fetched_for_a_handshake_is_where_it_may_be_too() -> None:
    report = run("fetches", 108)
    assert report.passed, str(report)
    assert report.figures["pulled"] > 0


@pytest.mark.parametrize("seed", [3, 20])
def test_with_few_copies_only_who_may_has_one_and_in_the_end_there_are_enough(seed: int) -> None:
    report = run("copies", seed)
    assert report.passed, str(report)


def test_what_is_used_up_is_taken_by_nobody_who_knows_and_clocks_that_differ_mislead_nobody() -> None:
    report = run("single_use", 11)
    assert report.passed, str(report)
    assert report.figures["told"] > 0
    assert report.fired["clocks compared"] > 0


def test_the_same_seed_gives_the_same_run_whatever_python_hashes_with() -> None:
    runs = [_started(hash_seed) for hash_seed in ("1", "2")]
    first, second = (started.communicate(timeout=60)[0] for started in runs)
    assert "passed  trace" in first
    assert first == second


def test_another_seed_gives_another_run() -> None:
    assert run("deaths", 1).trace != run("deaths", 2).trace


def test_a_failure_tells_how_to_see_it_again() -> None:
    report = run("deaths", 3)
    report.violations.append("something")
    assert "replay: python -m tests.simulation --scenario deaths --seed 3" in str(report)


def _started(hash_seed: str) -> subprocess.Popen[str]:
    """One seed in a process of its own; what it prints, without how long it took."""
    program = "from tests.simulation.scenarios import run; print(run('mixed', 36))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )
