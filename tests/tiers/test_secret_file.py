"""A password in a file: read where nobody else can, and shown in no error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcache.hooks import TierError
from meshcache.tiers.secret_file import read_secret


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_bytes(content)
    return path


def test_the_first_line_is_the_password(tmp_path: Path) -> None:
    assert read_secret(write(tmp_path / "a", b"s3cret with a space\r\nmore\n")) == "s3cret with a space"
    assert read_secret(write(tmp_path / "b", b"s3cret")) == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\ns3cret", "schlüssel".encode(), b"s3cret" * 1000])
def test_what_is_no_password_is_refused_unshown(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(TierError, match="first line") as caught:
        read_secret(write(tmp_path / "a", content))
    assert "s3cret" not in str(caught.value)


def test_what_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TierError, match="0600"):
        read_secret(write(tmp_path / "a", b"s3cret", 0o644))


def test_what_isnt_there_or_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(TierError, match="no such file"):
        read_secret(tmp_path / "none")
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(TierError, match="regular"):
        read_secret(tmp_path / "fifo")
