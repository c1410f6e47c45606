"""Tests of `server.faults`."""

from __future__ import annotations

import logging

import pytest
from meshcache_server.faults import KINDS_MAX, PLACES_MAX, REPORT_EVERY_S, Faults


def test_kinds_are_counted() -> None:
    faults = Faults()
    for _ in range(3):
        faults.count("idle timeout")
    faults.count("connection reset")
    assert faults.total == {"idle timeout": 3, "connection reset": 1}


def test_the_log_gets_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    faults = Faults()
    for second in range(100):
        faults.count("idle timeout")
        faults.report(1000.0 + second)
    assert [record.getMessage() for record in caplog.records] == [
        "connections that ended badly: 1 idle timeout",
        f"connections that ended badly: {REPORT_EVERY_S:.0f} idle timeout",
    ]


def test_the_line_names_vip_and_backend(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    faults = Faults()
    for _ in range(2):
        faults.count("backend unreachable", "shop", "127.0.0.1:8080")
    faults.count("handshake timeout", "shop", in_handshake=True)
    faults.count("over max_connections")
    faults.count("ended right after the handshake", "shop", told=False)
    faults.report(1e9)
    (line,) = caplog.messages
    assert line.removeprefix("connections that ended badly: ").split(", 1 ") == [
        "2 backend unreachable (VIP shop, 127.0.0.1:8080)",
        "handshake timeout (VIP shop)",
        "over max_connections",
    ]
    assert faults.handshakes == {("shop", "handshake timeout"): 1}


def test_places_have_a_largest_number_too() -> None:
    faults = Faults()
    for number in range(2 * PLACES_MAX):
        faults.count("backend unreachable", "shop", str(number))
    assert len(faults.by_place) == PLACES_MAX + 1
    assert faults.total == {"backend unreachable": 2 * PLACES_MAX}


def test_nothing_to_say_is_not_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Faults().report(1e9)
    assert not caplog.records


def test_kinds_have_a_largest_number() -> None:
    faults = Faults()
    for number in range(2 * KINDS_MAX):
        faults.count(f"kind {number}")
    assert len(faults.total) == KINDS_MAX + 1
    assert faults.total["other"] == KINDS_MAX


def test_a_fault_of_ours_is_logged_in_full_once(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    for _ in range(5):
        faults.bug("receiving", ZeroDivisionError("zero"))
    assert faults.total["our own fault"] == 5
    assert len(caplog.records) == 1
    assert "ZeroDivisionError: zero" in caplog.text
