"""The figures we promise, as far as they are quickly measured; `make sim` measures the others."""

from __future__ import annotations

import pytest

from tests.simulation.scenarios import SCENARIOS, run


@pytest.mark.parametrize(
    "name", [name for name, scenario in SCENARIOS.items() if not scenario.heavy and name != "mixed"]
)
def test_what_is_promised_holds(name: str) -> None:
    report = run(name, 1)
    assert report.passed, str(report)
