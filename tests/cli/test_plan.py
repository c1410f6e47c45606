"""`plan` predicts from a file, and refuses what will not fit with what would help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Meshcache

FILE = """
[cache]
max_sessions = 1_000_000
max_bytes = "1GiB"
[[vip]]
name = "shop"
sharing.reach = "everywhere"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "meshcache.toml"
    path.write_text(FILE)
    return path


def test_it_prints_nodes_links_and_where_each_figure_comes_from(meshcache: Meshcache, file: Path) -> None:
    ended = meshcache("plan", file, "--handshakes-per-s", "120", "--colos", "ams1=8,fra1=4")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("12 nodes (ams1 8, fra1 4), 1 VIP, 120 handshakes/s, 60% resumed\n")
    assert "fra1  ams1        56.0" in ended.out
    assert "benchmarks/memory.py" in ended.out
    assert max(map(len, ended.out.split("measured or fixed")[0].splitlines())) <= 90


def test_json_has_it_all(meshcache: Meshcache, file: Path) -> None:
    ended = meshcache("plan", file, "--handshakes-per-s", "120", "--colos", "ams1,fra1", "--nodes", "3", "--json")
    told = json.loads(ended.out)
    assert (told["fits"], told["faults"]) == (True, [])
    assert [node["colo"] for node in told["nodes"]] == ["ams1", "fra1"]
    assert told["nodes"][0]["taken_per_s"] == pytest.approx(140), "60% resume, and a full one makes two"
    assert told["links"][0]["sessions_per_s"] == pytest.approx(84)
    assert told["constants"]["take_us"]["source"]


def test_what_will_not_fit_exits_with_2_and_says_what_would_help(meshcache: Meshcache, file: Path) -> None:
    ended = meshcache("plan", file, "--handshakes-per-s", "120", "--set", "cache.max_sessions=1000")
    assert ended.code == 2
    assert "will not fit: VIP shop in local" in ended.err
    assert "lower lifetime_s" in ended.err


@pytest.mark.parametrize(
    "options, reason",
    [
        (["--handshakes-per-s", "0"], "above 0"),
        (["--handshakes-per-s", "nan"], "above 0"),
        (["--handshakes-per-s", "5", "--colos", "ams1=0"], "1 to 100,000 nodes"),
        (["--handshakes-per-s", "5", "--colos", "ams1=x"], "is no colo"),
        (["--handshakes-per-s", "5", "--colos", ",,"], "is no colo"),
        (["--handshakes-per-s", "5", "--colos", "a,a"], "named twice"),
        (["--handshakes-per-s", "5", "--resumed", "110%"], "60%"),
        (["--handshakes-per-s", "5", "--resumed", "many"], "60%"),
        ([], "handshakes-per-s"),
    ],
)
def test_bad_options_are_refused(meshcache: Meshcache, file: Path, options: list[str], reason: str) -> None:
    ended = meshcache("plan", file, *options)
    assert ended.code == 2
    assert reason in ended.err


def test_a_file_without_vips_has_nothing_to_plan(meshcache: Meshcache, tmp_path: Path) -> None:
    (tmp_path / "none.toml").write_text("")
    assert "no VIP" in meshcache("plan", tmp_path / "none.toml", "--handshakes-per-s", "5").err


def test_a_mesh_of_tickets_fits_and_a_note_says_that_nothing_is_counted(meshcache: Meshcache, file: Path) -> None:
    options = ("--handshakes-per-s", "1600", "--nodes", "8", "--set", "vip.shop.resumption=tickets")
    ended = meshcache("plan", file, *options)
    assert (ended.code, ended.err) == (0, "")
    assert '\nnote: VIP shop: with resumption = "tickets" clients keep their sessions themselves' in ended.out
    told = json.loads(meshcache("plan", file, *options, "--json").out)
    assert told["fits"]
    assert len(told["notes"]) == 1
    assert json.loads(meshcache("plan", file, *options[:4], "--json").out)["notes"] == []
