"""A folder with one LMDB file that is ours alone, and whole, while it is open; what can't be trusted is begun anew.

Every transaction is in the file's page cache before it counts, and none waits for the disk: a process that is killed at
any moment leaves a file as of its last one. A machine that loses power may not, so a file that wasn't closed before the
machine last started isn't used: it was a cache.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from meshcache.hooks import TierError
from meshcache.runtime import state_file
from meshcache.tiers import disk_check

CHECK_S = 10.0
"""How long reading a file may take, and a second for each 50 MB besides."""

_CHECK_BYTES_S = 50_000_000

_BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Differs after each start of the machine (random(4))."""

_CLOSED = "closed"

_FILES = ("data.mdb", "lock.mdb", "state")

_EXPECTED = {*_FILES, "owner", "lost+found"}
"""In a folder that is ours, or was made for us: the last is in the root of a file system of its own."""


class LmdbFolder:
    """`begin` gives the environment, and `end` takes it back; in between nobody else can have it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._owner: int | None = None

    def take(self) -> None:
        """Make the folder where there is none, and make sure that nobody else has it. Raises OSError, TierError.

        LMDB has a lock of its own, which allows two; and opening a file twice in a process breaks it (lmdb.h,
        "Caveats"), which py-lmdb notices since 2.0 only.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        why = objection(self.path)
        if why is not None:
            raise TierError(why)
        self.path.chmod(0o700)
        owner = os.open(self.path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(owner)
            raise TierError(f"{self.path} is another node's: give each a folder of its own (tier.disk.path)") from None
        self._owner = owner

    def let_go(self) -> None:
        """Let others have it. In a forked child too: the parent's hold isn't touched."""
        owner, self._owner = self._owner, None
        if owner is not None:
            os.close(owner)

    def why_not(self) -> str | None:
        """Return why what is there can't be used, or None when it can. "" says that there is nothing."""
        if not (self.path / "data.mdb").exists():
            return ""
        state = self._state()
        if state not in (_CLOSED, _boot()):
            return "the machine went down while it was open"
        return check(self.path)

    def clear(self) -> None:
        """Begin anew. Raises OSError."""
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)

    def begin(self, map_bytes: int) -> Any:
        """Open it; ``import lmdb`` is done here. Raises lmdb.Error, OSError."""
        import lmdb

        state_file.replace(self.path / "state", _boot(), sync=True)
        environment = lmdb.open(
            str(self.path),
            map_size=map_bytes,
            max_dbs=len(disk_check.NAMES),
            mode=0o600,
            sync=False,
            metasync=False,
            readahead=False,
        )
        environment.reader_check()  # who was killed while reading would keep every page from being used again
        return environment

    def end(self, environment: Any) -> None:
        """Close it, with all that is in it on the disk. Raises lmdb.Error, OSError."""
        environment.sync(True)
        environment.close()
        state_file.replace(self.path / "state", _CLOSED, sync=True)

    def _state(self) -> str:
        try:
            return (state_file.read(self.path / "state", 64) or b"").decode("ascii", "replace")
        except (OSError, state_file.StateFileError):
            return ""


def objection(path: Path, user: int | None = None) -> str | None:
    """Return what speaks against taking a folder, which closes it to all others; None where nothing does, or where
    there is none yet. `user` is the id of whoever is to take it, this process's without. Raises OSError.
    """
    try:
        status, names = path.stat(), [each.name for each in path.iterdir()]
    except FileNotFoundError:
        return None
    others = sorted(name for name in names if name not in _EXPECTED and not name.startswith(".state."))
    if others:
        return (
            f"{path} holds other things ({others[0]}), and a tier needs a folder of its own: {path / 'sessions'}, say"
        )
    if status.st_uid != (os.geteuid() if user is None else user):
        return f"{path} is another user's, who could change what is in it: chown it, or name another folder"
    return None


def check(folder: Path, limit_s: float = CHECK_S) -> str | None:
    """Return what is wrong with the file in a folder, found out by another process; None when nothing is."""
    if not Path(sys.executable or "").name.startswith(("python", "pypy")):
        return f"there is no Python to check it with: this program is {sys.executable or 'unknown'}"
    limit_s += (folder / "data.mdb").stat().st_size / _CHECK_BYTES_S
    command = [sys.executable, "-I", disk_check.__file__, str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - our own file, by this interpreter
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return f"reading it took longer than {limit_s:.0f} s"
    except OSError as error:
        return f"it can't be checked: {error.strerror}"
    if done.returncode < 0:
        return f"reading it ended a process with signal {-done.returncode}"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else "it can't be read"
    return None


def _boot() -> str:
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return "unknown"
