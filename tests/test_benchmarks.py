"""That the harness works: every benchmark measures something, and what it finds is told truly. Not the figures."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.__main__ import BENCHMARKS
from benchmarks.clients import Clients, Job
from benchmarks.fresh import in_fresh_process
from benchmarks.report import Figure, show, write
from benchmarks.statistic import median, percentile

ROOT = Path(__file__).parent.parent
PARTS = 4
"""The benchmarks in so many processes, since none of them has the machine for itself here."""


@pytest.mark.harness
@pytest.mark.parametrize("part", range(PARTS))
def test_every_benchmark_measures_something(tmp_path: Path, part: int) -> None:
    names = list(BENCHMARKS)[part::PARTS]
    result = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--json", str(result)]
    chosen = [word for name in names for word in ("--only", name)]
    done = subprocess.run([*command, *chosen], cwd=ROOT, capture_output=True, text=True, timeout=250)

    assert done.returncode == 0, done.stderr
    figures = json.loads(result.read_text())["figures"]
    assert {figure["benchmark"] for figure in figures} == set(names)
    assert all(math.isfinite(figure["measured"]) for figure in figures)
    assert all(figure["name"] in done.stdout for figure in figures if len(figure["name"]) < 30)


def test_a_benchmark_that_does_not_exist_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "nonsense"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 2
    assert "cpu_mesh_vs_own" in done.stderr


@pytest.mark.parametrize(
    ("measured", "at_least", "verdict"),
    [(0.9, True, "missed"), (1.0, True, "met"), (1.0, False, "met"), (1.1, False, "missed")],
)
def test_a_target_is_met_on_its_good_side_only(measured: float, at_least: bool, verdict: str) -> None:
    assert Figure("b", "f", measured, "x", 1.0, at_least=at_least).verdict == verdict


def test_what_is_not_a_number_meets_no_target() -> None:
    assert Figure("b", "f", math.nan, "x", 1.0).verdict == "missed"
    assert Figure("b", "f", math.inf, "ms", 1.0).verdict == "missed"


def test_a_figure_without_a_target_is_not_judged() -> None:
    figure = Figure("b", "f", 3.0, "x")

    assert (figure.ratio, figure.verdict) == (None, "-")


def test_the_file_says_what_the_table_says_and_on_what_machine(tmp_path: Path) -> None:
    figures = [Figure("b", "f", 2.0, "x", 4.0, detail={"of": 7}), Figure("b", "late", math.inf, "ms")]
    console = Console(record=True, width=100)

    show(figures, console)
    write(figures, tmp_path / "new" / "figures.json", wall_s=1.0)

    plain = json.loads((tmp_path / "new" / "figures.json").read_text())
    assert plain["figures"][0]["ratio"] == 0.5
    assert plain["figures"][0]["detail"] == {"of": 7}
    assert plain["figures"][1]["measured"] is None, "JSON has no infinity"
    assert "OpenSSL" in plain["machine"]["server_openssl"]
    assert "0.50" in console.export_text()


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(1, 101)]

    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (50.0, 99.0, 100.0)
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert math.isnan(percentile([], 0.5))


def test_a_client_that_cannot_connect_says_so_and_ends() -> None:
    with Clients(1) as clients, pytest.raises(RuntimeError, match="ConnectionRefusedError"):
        clients.run(Job("full", "1.2", ("127.0.0.1", 1), 1))


def test_an_error_in_a_fresh_process_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        in_fresh_process(divmod, 1, 0)
