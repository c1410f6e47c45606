"""Small files in the state folder: whole, bounded, and of nobody else's making."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcache.runtime import state_file
from meshcache.runtime.state_file import StateFileError


@pytest.mark.parametrize("sync", [True, False])
def test_what_was_put_there_is_read_and_only_the_owner_may(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "state" / "x.json"
    assert state_file.read(path, 10) is None
    state_file.replace(path, "first", sync=sync)
    state_file.replace(path, "more than ten bytes", sync=sync)
    assert state_file.read(path, 10) == b"more than t", "one byte more than the most, so that it can be told"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_one_that_others_can_write_is_not_read(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    path.chmod(mode)
    with pytest.raises(StateFileError, match=f"others can write {path}: chmod 600"):
        state_file.read(path, 10)


def test_a_fifo_in_its_place_hangs_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.json", 0o600)
    with pytest.raises(StateFileError, match="not a regular file"):
        state_file.read(tmp_path / "x.json", 10)


def test_what_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    with pytest.raises(OSError, match=r"x\.json"):
        state_file.replace(tmp_path / "x.json", "new")
    assert list(tmp_path.iterdir()) == [tmp_path / "x.json"]


def test_policy_files_are_those_of_the_server_and_its_workers_by_number(tmp_path: Path) -> None:
    for name in ("worker-10", "worker-2", "worker-x", "worker-12345", "other"):
        (tmp_path / name).mkdir()
    found = [str(path.relative_to(tmp_path)) for path in state_file.policy_files(tmp_path)]
    assert found == ["policy.json", "worker-2/policy.json", "worker-10/policy.json"]
    (tmp_path / "a file").write_text("")
    assert state_file.policy_files(tmp_path / "a file") == state_file.policy_files(tmp_path / "nowhere") == []
