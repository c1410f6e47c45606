"""Tests of `checks.waits`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache.checks.waits import wait_notes
from tests.nodes import settings

LISTEN = ["127.0.0.1:8443"]


def notes(folder: Path, vip: dict[str, Any], **tables: Any) -> list[str]:
    (folder / "cert.pem").touch()
    files = {"certificate": folder / "cert.pem", "private_key": folder / "cert.pem"}
    return wait_notes(settings(folder, vip=[{"name": "shop", "listen": LISTEN, **files, **vip}], **tables))


@pytest.mark.parametrize(
    "vip",
    [
        {},
        {"handshake_timeout_s": 0.03},
        {"handshake_timeout_s": 1, "await_ms": 400, "fetch_ms": 100},
        {"handshake_timeout_s": 1, "await_ms": 500, "fetch": "off"},
        {"handshake_timeout_s": 0.01, "resumption": "tickets"},
    ],
)
def test_waits_that_leave_time_for_a_handshake_are_fine(tmp_path: Path, vip: dict[str, Any]) -> None:
    assert notes(tmp_path, vip) == []


@pytest.mark.parametrize(
    ("vip", "tables", "word"),
    [
        ({"handshake_timeout_s": 0.02}, {}, "could wait 15 ms for its session"),
        ({"await_ms": 495}, {"server": {"handshake_timeout_s": 1}}, "after half of these 1000 ms"),
        ({"handshake_timeout_s": 1, "fetch": "reach", "fetch_far_ms": 500}, {}, "could wait 505 ms"),
        ({"handshake_timeout_s": 0.06}, {"tier": {"disk": {}}}, "could wait 35 ms"),
        ({"handshake_timeout_s": 1}, {"tier": {"valkey": {"url": "valkey://h", "wait_ms": 600}}}, "could wait 615 ms"),
        ({"await_ms": 1000, "fetch_ms": 1500}, {}, "await_ms: with fetch and tiers a handshake could wait 2500 ms"),
        ({"await_in_callback_ms": 1}, {}, "await_in_callback_ms: only servers"),
    ],
)
def test_waits_that_are_longer_than_they_can_be_are_named(
    tmp_path: Path, vip: dict[str, Any], tables: dict[str, Any], word: str
) -> None:
    (note,) = notes(tmp_path, vip, **tables)
    assert note.startswith("vip[0].")
    assert word in note


def test_a_vip_of_another_program_is_left_alone(tmp_path: Path) -> None:
    assert notes(tmp_path, {"listen": [], "await_in_callback_ms": 1, "handshake_timeout_s": 0.01}) == []
