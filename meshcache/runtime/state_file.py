"""Reads and replaces small files in a node's state folder: bounded, as a whole, and only where nobody else may write.

What is in them is its callers' business.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Final

POLICY_FILE: Final = "policy.json"
"""Where `live_policy` keeps what operators set. Named here for `check`, which looks at whose it is and not at what is
in it: to read that takes the core."""


_WORKER: Final = re.compile(r"worker-\d{1,4}")


class StateFileError(Exception):
    """What is there isn't to be read: what it is, and what to do about it, in words that begin with the path."""


def policy_files(folder: Path) -> list[Path]:
    """Return where what runs as a server with this state folder keeps live policies, or kept them: one process, then
    workers by number; `read` says whether there are any. None where there is no such folder.

    Raises StateFileError for a folder that can't be listed.
    """
    try:
        workers = [path for path in folder.iterdir() if _WORKER.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StateFileError(
            f"{folder} can't be listed: {reason}; what its workers kept of live policies would be lost"
        ) from None
    by_number = sorted(workers, key=lambda path: (len(path.name), path.name))
    return [path / POLICY_FILE for path in (folder, *by_number)]


def read(path: Path, bytes_max: int) -> bytes | None:
    """Return what is in a file, or None where there is none. More than `bytes_max` is cut, so that it can't be
    understood.

    Raises OSError, and StateFileError for what isn't a regular file or can be written by others than its owner.
    """
    try:
        # O_NONBLOCK: opening a FIFO that somebody put here must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise StateFileError(f"{path} is not a regular file; move it away")
        if stat.S_IMODE(mode) & 0o022:
            raise StateFileError(f"others can write {path}: chmod 600 {path}")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(bytes_max + 1)
    finally:
        os.close(descriptor)


def replace(path: Path, content: str, *, sync: bool = True) -> None:
    """Put a file in the place of the one before, mode 0600; its folder is made where there is none, mode 0700.

    Without `sync` a power cut may lose it. Raises OSError; the file is as it was then.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp(3): mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if sync:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename safe from a power cut: it is once its folder is (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
