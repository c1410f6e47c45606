"""Tests of `admin.token_file`: what is taken for a token, and what is said of all else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcache.admin.token_file import load_token
from meshcache.errors import ConfigError

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text(TOKEN + "\n")
    return path


def test_a_token_is_read_without_the_white_space_around_it(token_file: Path) -> None:
    assert load_token(token_file) == TOKEN


@pytest.mark.parametrize("content", ["", "short", "two words of some length", "ü" * 40, "x" * 5000])
def test_what_is_no_token_is_refused(token_file: Path, content: str) -> None:
    token_file.write_text(content)
    with pytest.raises(ConfigError, match=r"admin\.token_file: .*one word of 16 characters") as refused:
        load_token(token_file)
    assert not content or content not in str(refused.value)


def test_a_token_that_others_can_read_a_fifo_and_none_are_refused(token_file: Path, tmp_path: Path) -> None:
    token_file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"admin\.token_file"):
        load_token(token_file)
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_token(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="no such file"):
        load_token(tmp_path / "absent")
