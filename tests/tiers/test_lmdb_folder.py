"""A folder that is one node's: taking it, what is trusted in it, and letting it go."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from meshcache.hooks import TierError
from meshcache.tiers.lmdb_folder import LmdbFolder, check

MAP = 1 << 24


def test_nothing_is_there_at_first_and_what_was_closed_is_trusted(tmp_path: Path) -> None:
    folder = LmdbFolder(tmp_path / "deep" / "t")
    folder.take()
    assert folder.why_not() == ""
    env = folder.begin(MAP)
    env.open_db(b"sessions")
    env.open_db(b"turns")
    folder.end(env)
    assert (tmp_path / "deep" / "t" / "state").read_text() == "closed"
    assert folder.why_not() is None
    folder.let_go()


def test_it_is_taken_once_in_this_process_and_in_all_others(tmp_path: Path) -> None:
    one, two = LmdbFolder(tmp_path / "t"), LmdbFolder(tmp_path / "t")
    one.take()
    with pytest.raises(TierError, match="another node"):
        two.take()
    one.let_go()
    two.take()
    two.let_go()
    two.let_go()


def test_a_symbolic_link_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "owner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        LmdbFolder(tmp_path / "t").take()
    assert not (tmp_path / "elsewhere").exists()


def test_a_program_that_isnt_python_checks_nothing_and_trusts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.mdb").write_bytes(b"")
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    assert "uwsgi" in (check(tmp_path) or "")


def test_a_check_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.mdb").write_bytes(b"")
    slow = tmp_path / "slow.py"
    slow.write_text("import time; time.sleep(600)")
    monkeypatch.setattr("meshcache.tiers.disk_check.__file__", str(slow))
    assert "longer than" in (check(tmp_path, limit_s=0.2) or "")


def test_a_check_that_dies_is_told_by_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.mdb").write_bytes(b"")
    dying = tmp_path / "dying.py"
    dying.write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr("meshcache.tiers.disk_check.__file__", str(dying))
    assert check(tmp_path) == "reading it ended a process with signal 9"


def test_clear_leaves_the_hold_on_it(tmp_path: Path) -> None:
    folder = LmdbFolder(tmp_path / "t")
    folder.take()
    folder.begin(MAP).close()
    folder.clear()
    assert {path.name for path in (tmp_path / "t").iterdir()} == {"owner"}
    with pytest.raises(TierError):
        LmdbFolder(tmp_path / "t").take()
    folder.let_go()
