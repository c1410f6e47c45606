"""Tests of `checks.single_use`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache.checks.single_use import single_use_notes
from tests.nodes import settings


def notes(folder: Path, **vip: Any) -> list[str]:
    return single_use_notes(settings(folder, vip=[{"name": "shop", **vip}]))


def test_a_vip_without_it_is_told_nothing(tmp_path: Path) -> None:
    assert notes(tmp_path) == []


def test_it_says_what_it_costs_and_nothing_else_where_it_holds_for_all(tmp_path: Path) -> None:
    (cost,) = notes(tmp_path, single_use="best_effort", min_tls="1.3")
    assert cost.startswith("vip[0].single_use: each resumed handshake costs a message")


@pytest.mark.parametrize(
    ("vip", "word"),
    [
        ({}, "sessions of TLS 1.2 stay good"),
        ({"resumption": "both", "min_tls": "1.3"}, "tickets of TLS 1.2 can't be used up"),
    ],
)
def test_it_names_what_it_doesnt_hold_for(tmp_path: Path, vip: dict[str, str], word: str) -> None:
    assert any(word in note for note in notes(tmp_path, single_use="best_effort", **vip))


def test_a_tier_is_named(tmp_path: Path) -> None:
    vip, tier = {"name": "shop", "single_use": "best_effort"}, {"disk": {"path": str(tmp_path / "disk")}}
    assert "its tier still has it" in single_use_notes(settings(tmp_path, vip=[vip], tier=tier))[-1]
