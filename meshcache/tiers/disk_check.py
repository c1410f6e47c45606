"""Reads a whole LMDB file, in a process of its own: a file that kills whoever reads it kills nobody else.

LMDB believes what its pages say, and a page beyond the end of a file that was cut is a bus error. So `lmdb_folder` runs
this file before it opens one: ``python -I disk_check.py FOLDER``. Exits with 0 and prints how many entries there are;
imports nothing of meshcache, so that it takes a tenth of a second.
"""

from __future__ import annotations

import sys
from pathlib import Path

NAMES = (b"sessions", b"turns")
"""The databases in the file."""

_BYTES = {NAMES[0]: (8, 20), NAMES[1]: (16, 8)}
"""How long the keys of each are, and its values at least: the form that `disk` writes."""


def entries_in(folder: Path) -> int:
    """Return how many entries there are, having read each of them. Raises what lmdb does, or ends the process."""
    import lmdb

    with lmdb.open(str(folder), readonly=True, lock=False, max_dbs=len(NAMES), create=False) as env:
        if not whole(folder / "data.mdb", env.info()["last_pgno"], env.stat()["psize"]):
            raise ValueError("the file is shorter than it says")
        return sum(_walk(env, name) for name in NAMES)


def whole(file: Path, last_page: int, page_bytes: int) -> bool:
    """Return whether a file is as long as its pages need."""
    return file.stat().st_size >= (last_page + 1) * page_bytes


def _walk(env: object, name: bytes) -> int:
    import lmdb

    assert isinstance(env, lmdb.Environment)
    database = env.open_db(name, create=False)
    count, before, (key_bytes, value_bytes_min) = 0, b"", _BYTES[name]
    with env.begin() as reading:
        for key, value in reading.cursor(database):
            if key <= before:
                raise ValueError("keys are out of order")
            if len(key) != key_bytes or len(value) < value_bytes_min:
                raise ValueError("an entry isn't of this form")
            before = key
            count += 1
    return count


def main() -> int:
    """Return the exit status: 0, or 1 with a word on standard error."""
    try:
        found = entries_in(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - whatever it is, the file isn't to be used
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
