"""Whether LMDB's functions are found, and when they aren't used. That both writers do the same is in `test_disk`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from meshcache import hot
from meshcache.tiers import lmdb_functions
from meshcache.tiers.disk_check import NAMES
from meshcache.tiers.sealed_entries import pack
from tests.tiers.test_disk import entry

compiled = pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Any]:
    with lmdb.open(str(tmp_path), map_size=2**24, max_dbs=2, sync=False, metasync=False) as environment:
        for name in NAMES:
            environment.open_db(name)
        yield environment


@compiled
def test_a_writer_writes_where_py_lmdb_reads(env: Any, tmp_path: Path) -> None:
    writer = lmdb_functions.writer(env, tmp_path, 7)
    assert writer is not None, "this py-lmdb's functions can be found"
    assert writer.write([pack([entry(1), entry(2)])], 2, 1000, 512, 2**24) == 0
    sessions, turns = (env.open_db(name) for name in NAMES)
    with env.begin() as reading:
        assert [turn[-1] for turn, _ in reading.cursor(sessions)] == [8, 9]
        assert {key for key, _ in reading.cursor(turns)} == {entry(1).key, entry(2).key}
    assert writer.remove(entry(1).key) == 0
    assert (writer.figures()[0], writer.figures()[2]) == (9, 1)


@compiled
def test_another_file_than_the_environments_is_never_written_to(env: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "data.mdb").write_bytes((tmp_path / "data.mdb").read_bytes())
    assert lmdb_functions.writer(env, other, 0) is None


@compiled
def test_an_lmdb_that_isnt_known_is_left_to_py_lmdb(env: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_functions, "_PREFIXES", ("mdb10_",))
    assert lmdb_functions.writer(env, tmp_path, 0) is None


@compiled
def test_what_says_that_it_is_an_environment_and_isnt_one_is_refused(tmp_path: Path) -> None:
    class Environment:
        def flags(self) -> dict[str, bool]:
            return {}

    assert lmdb_functions.writer(Environment(), tmp_path, 0) is None


@compiled
@pytest.mark.parametrize("cut", [1, 20, 28, 100])
def test_bytes_that_are_no_entries_are_refused(env: Any, tmp_path: Path, cut: int) -> None:
    writer = lmdb_functions.writer(env, tmp_path, 0)
    assert writer is not None
    with pytest.raises(ValueError, match="no entries"):
        writer.write([pack([entry(1)])[:-cut]], 1, 1000, 512, 2**24)
    with pytest.raises(ValueError, match="no entries"):
        writer.write([pack([entry(1), entry(2)])], 1, 1000, 512, 2**24)
    with pytest.raises(ValueError, match="no places"):
        writer.remove(b"x" * 17)
    assert writer.figures()[2] == 0


def test_without_a_compiled_module_py_lmdb_writes(env: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "compiled", None)
    assert lmdb_functions.writer(env, tmp_path, 0) is None
