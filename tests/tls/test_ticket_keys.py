"""What is written beside a ticket's session comes back whole, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.tls.ticket_keys import EdgeKey, EdgeKeys, read_note, write_note

KEY = EdgeKey(b"0123456789abcdef", b"a" * 32, b"m" * 32, 1000.0, 1900.0, 5500.0, 3600.0)
LINEAGE = b"lineage!"


def keys(current: EdgeKey | None = KEY) -> EdgeKeys:
    return EdgeKeys(current, {KEY.name: KEY}, "edge-1", 3600.0, 3600.0, 86400.0)


def test_a_note_tells_key_ages_and_maker() -> None:
    note = read_note(LINEAGE + write_note(KEY, 12.5, "edge-ü", 1042.25))
    assert note == (b"0123", 42.25, 12.5, "edge-ü")


def test_a_clock_that_is_behind_makes_no_negative_age() -> None:
    note = read_note(LINEAGE + write_note(KEY, -1.0, "e", 990.0))
    assert note is not None
    assert (note.key_age_s, note.lineage_s) == (0.0, 0.0)


@given(st.binary(max_size=120))
def test_whatever_is_there_is_read_or_left(data: bytes) -> None:
    note = read_note(data)
    assert note is None or (note.node.isprintable() and 0 < len(note.node.encode()) <= 64)


@pytest.mark.parametrize("data", (b"", LINEAGE, LINEAGE + write_note(KEY, 0.0, "", 1000.0)))
def test_what_is_no_note_is_none(data: bytes) -> None:
    assert read_note(data) is None


def test_a_form_to_come_is_none() -> None:
    data = bytearray(LINEAGE + write_note(KEY, 0.0, "e", 1000.0))
    data[8] = 2
    assert read_note(bytes(data)) is None


def test_a_key_encrypts_and_opens_up_to_its_ends() -> None:
    assert keys().encrypting(1899.9) is KEY
    assert keys().encrypting(1900.0) is None
    assert keys(None).encrypting(1000.0) is None
    assert keys().open(KEY.name, 5499.9) is KEY
    assert keys().open(KEY.name, 5500.0) is None
    assert keys().open(b"x" * 16, 1000.0) is None
    assert keys().by_prefix(b"0123") is KEY
    assert keys().by_prefix(b"0124") is None


def test_no_secret_is_shown() -> None:
    shown = repr(keys()) + repr(replace(KEY, name=b"n" * 16))
    assert "aaaa" not in shown
    assert "mmmm" not in shown
