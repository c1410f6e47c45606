"""Tests of `checks.copies`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache.checks.copies import copies_notes
from tests.nodes import settings


def notes(folder: Path, **vip: Any) -> list[str]:
    return copies_notes(settings(folder, vip=[{"name": "shop", **vip}]))


@pytest.mark.parametrize(
    "vip",
    [
        {},
        {"copies": "all", "resumption": "tickets"},
        {"copies": 3},
        {"copies": 3, "push": "none", "sharing": {"reach": "colo"}},
        {"copies": 3, "push": "none", "sharing": {"reach": "everywhere"}, "fetch": "reach"},
    ],
)
def test_where_nothing_is_amiss_nothing_is_said(tmp_path: Path, vip: dict[str, Any]) -> None:
    assert notes(tmp_path, **vip) == []


@pytest.mark.parametrize(
    ("vip", "word"),
    [
        ({"copies": 3, "resumption": "tickets"}, "there is nothing to hold"),
        ({"copies": 3, "await_in_callback_ms": 1}, "at the holders only"),
        ({"copies": 1}, "when the server that made a session dies"),
        ({"copies": 1, "sharing": {"reach": "server"}}, "no session leaves the server"),
        ({"copies": 2, "push": "none", "sharing": {"reach": "everywhere"}}, "other colos get no copies"),
        ({"copies": 2, "push": "none", "sharing": {"reach": ["ams1", "fra1"]}}, "in the colo of their session only"),
    ],
)
def test_what_brings_nothing_or_costs_resumptions_is_named(tmp_path: Path, vip: dict[str, Any], word: str) -> None:
    (note,) = notes(tmp_path, **vip)
    assert note.startswith("vip[0].copies: ")
    assert word in note
