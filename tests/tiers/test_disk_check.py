"""The process that reads a file before anybody relies on it: what it says, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from meshcache.tiers import disk_check
from tests.support.waiting import PATIENCE_S


def made(folder: Path, entries: int = 100) -> Path:
    with lmdb.open(str(folder), max_dbs=2) as env:
        sessions, turns = (env.open_db(name) for name in disk_check.NAMES)
        with env.begin(write=True) as writing:
            for number in range(entries):
                writing.put(number.to_bytes(8, "big"), bytes(300), db=sessions)
                writing.put(number.to_bytes(16, "big"), bytes(8), db=turns)
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", disk_check.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_file_that_is_whole_is_counted(tmp_path: Path) -> None:
    found = run(str(made(tmp_path / "t")))
    assert (found.returncode, found.stdout.strip()) == (0, "200")
    assert disk_check.entries_in(tmp_path / "t") == 200


def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    made(tmp_path / "t")
    os.truncate(tmp_path / "t" / "data.mdb", 5 * 4096)
    found = run(str(tmp_path / "t"))
    assert found.returncode == 1
    assert "shorter" in found.stderr


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [("sessions", bytes(8), bytes(19)), ("sessions", bytes(9), bytes(300)), ("turns", b"k" * 16, bytes(7))],
)
def test_an_entry_of_another_form_is_damage(tmp_path: Path, name: str, key: bytes, value: bytes) -> None:
    with lmdb.open(str(made(tmp_path / "t")), max_dbs=2) as env, env.begin(write=True) as writing:
        writing.put(key, value, db=env.open_db(name.encode(), txn=writing))
    found = run(str(tmp_path / "t"))
    assert (found.returncode, found.stderr.strip()) == (1, "ValueError: an entry isn't of this form")


def test_a_file_without_our_databases_is_refused(tmp_path: Path) -> None:
    lmdb.open(str(tmp_path / "t"), max_dbs=2).close()
    assert run(str(tmp_path / "t")).returncode == 1


@pytest.mark.parametrize("arguments", [(), ("/nonexistent",)])
def test_whatever_else_is_wrong_is_one_line(arguments: tuple[str, ...]) -> None:
    found = run(*arguments)
    assert found.returncode == 1
    assert len(found.stderr.splitlines()) == 1


def test_it_imports_nothing_of_ours() -> None:
    """`-I` leaves the current folder out, and a start shouldn't take a second."""
    assert "meshcache" not in Path(disk_check.__file__).read_text().split('"""', 2)[2]


def test_main_says_how_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["disk_check", str(made(tmp_path / "t"))])
    assert disk_check.main() == 0
    monkeypatch.setattr(sys, "argv", ["disk_check", str(tmp_path / "none")])
    assert disk_check.main() == 1
