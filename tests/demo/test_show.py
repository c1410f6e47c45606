"""How the demo looks without a terminal: plain text that a program could read, failures in words."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from meshcache.demo.clients import PythonClient, Visit
from meshcache.demo.files import build
from meshcache.demo.show import Stagehand
from meshcache.demo.trials import BORDERS, Expectation, Trial, everywhere

STATS = {
    "vips": {
        "shop": {
            "handshakes": {"full": 3, "local": 1, "remote": 5, "pulled": 0, "failed": 0},
            "sessions": {"made": 9, "pushed": 8, "received": 7, "refused": {}, "evicted": 0},
            "lookups": {"refused": {"receiver_reach": 2, "lineage": 1}},
        }
    },
    "cache": {"entries": 16},
    "peers": [{"name": "edge-2", "state": "lost"}, {"name": "edge-3", "state": "alive"}],
}


def show(folder: Path, act) -> str:
    out = StringIO()
    act(Stagehand(Console(file=out, highlight=False, width=120)))
    return out.getvalue()


def trials(folder: Path, expectations: list[Expectation], wrong: int = 0) -> list[Trial]:
    run = folder / f"run-{len(list(folder.iterdir()))}"
    run.mkdir()
    client = PythonClient(build(run, mdns=False), "1.3")
    made = []
    for at, expected in enumerate(expectations):
        outcome = "full" if at < wrong else expected.outcome
        origin = expected.made.server.name if outcome == "remote" else None
        visit = Visit(expected.tried.server.name, outcome, origin, outcome != "full", None)
        made.append(Trial(expected, client, visit))
    return made


def test_the_matrix_has_a_row_and_a_column_for_each_server(folder: Path) -> None:
    shown = show(folder, lambda hand: hand.matrix(trials(folder, everywhere("shop"))))
    rows = [line for line in shown.splitlines() if line.count("remote") == 5 and line.count("local") == 1]
    assert len(rows) == 6
    assert "\x1b" not in shown


def test_a_field_that_failed_says_how_many_held(folder: Path) -> None:
    shown = show(folder, lambda hand: hand.matrix(trials(folder, everywhere("shop"), wrong=2)))
    assert "0/1 local" in shown
    assert "0/1 remote" in shown


def test_each_border_is_named_with_its_reason(folder: Path) -> None:
    shown = show(folder, lambda hand: hand.borders(trials(folder, BORDERS)))
    for expected in BORDERS:
        assert expected.why in shown


def test_the_stats_are_sums_over_vips_and_the_killed_is_marked(folder: Path) -> None:
    shown = show(folder, lambda hand: hand.stats({"edge-1": STATS, "edge-2": None}))
    cells = [cell.strip() for cell in next(x for x in shown.splitlines() if "edge-1" in x).strip("|").split("|")]
    assert cells == ["edge-1", "3", "1", "5", "9", "8", "7", "3", "16"]
    assert "killed" in shown


def test_the_verdict_counts_and_names_what_failed(folder: Path) -> None:
    good = show(folder, lambda hand: hand.verdict(trials(folder, BORDERS), 9.6))
    assert "ok 8 of 8 visits went as the policies say, in 10 s" in good

    bad = show(folder, lambda hand: hand.verdict(trials(folder, everywhere("shop"), wrong=20), 9.6))
    assert "FAILED 16 of 36 visits" in bad
    assert "shop on edge-1 (ams1) -> shop on edge-2 (ams1), Python ssl, TLS 1.3: expected remote, got full" in bad
    assert "and 12 more" in bad
