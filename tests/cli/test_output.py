"""Output: aligned text in a pipe, tables on a terminal, nothing that a name could smuggle in."""

from __future__ import annotations

import sys

import pytest

from meshcache.cli.output import Column, clean, colours, plain_table, print_table, warn

COLUMNS = (Column("VIP"), Column("entries", number=True))


def test_plain_tables_align_words_left_and_numbers_right() -> None:
    assert plain_table(COLUMNS, [["shop", "7"], ["x", "12,345,678"]]) == (
        "VIP      entries\nshop           7\nx     12,345,678"
    )
    assert plain_table(COLUMNS, []) == "VIP  entries"


def test_control_characters_are_shown_as_question_marks() -> None:
    assert clean("a\x1b[2Jb\r\nc\u202e") == "a?[2Jb??c?"
    assert clean("Zürich…") == "Zürich…"


def test_a_terminal_gets_a_table_in_which_names_are_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(COLUMNS, [["[red]shop", "7"]])
    assert "[red]shop" in capsys.readouterr().out


def test_no_color_is_honoured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert colours()
    monkeypatch.setenv("NO_COLOR", "")
    assert colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    warn("look here")
    assert capsys.readouterr().out == "! look here\n"
