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


@pytest.mark.parametrize("strange", ["somebody.sock", "data", ".profile"])
def test_a_folder_with_other_things_in_it_is_refused_and_left_open(tmp_path: Path, strange: str) -> None:
    """Somebody may name /tmp, or /var/lib: closed to all others, they would take the machine down."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / strange).touch()
    (shared / "owner").touch()
    with pytest.raises(TierError, match="a folder of its own"):
        LmdbFolder(shared).take()
    assert shared.stat().st_mode & 0o7777 == 0o1777
    assert {path.name for path in shared.iterdir()} == {strange, "owner"}


def test_a_folder_that_was_made_for_it_is_closed_to_others(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "lost+found").mkdir(parents=True)
    made.chmod(0o755)
    folder = LmdbFolder(made)
    folder.take()
    assert made.stat().st_mode & 0o777 == 0o700
    folder.begin(MAP).close()
    (made / ".state.abc").touch()  # of a process that was killed while it wrote
    folder.let_go()
    folder.take()
    folder.let_go()


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.tiers.lmdb_folder.os.geteuid", lambda: tmp_path.stat().st_uid + 1)
    (tmp_path / "t").mkdir()
    with pytest.raises(TierError, match="another user's"):
        LmdbFolder(tmp_path / "t").take()


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
