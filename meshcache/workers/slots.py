"""Gives each worker of a server a number that no other has while it lives, and tells workers where the others listen.

A slot is a small file in the state folder, locked by its worker as long as that lives (flock(2)); the kernel unlocks it
however the worker ends, and the next worker takes the lowest that is free. So there are never more files than there
were workers at one time. Whoever may write into the folder may lie in them: what is found there is a hint, and the key
decides who is a member.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Self

from meshcache.edges import native
from meshcache.errors import ConfigError

SLOTS_MAX = 1024
"""Workers of one server on one host; gunicorn's advice is two for a core."""

FILE_BYTES_MAX = 512
"""A fingerprint, a hash and an address take about 80."""

LOCK_S = 5.0
"""How long others may keep the folder; each keeps it for well under a millisecond."""

TAG_CHARS = 6
"""16 million: a hundred hosts that bear one name meet a collision once in 3,000 fleets."""

_FOLDER = "workers"
_ID = "id"
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_NUMBER = re.compile(r"\d{1,4}")

log = logging.getLogger("meshcache.mesh")


class Slot:
    """One worker's number, ``state_dir/workers/NUMBER``; `take` makes it."""

    def __init__(self, folder: Path, number: int, descriptor: int, tag: str) -> None:
        self.number = number
        self.tag = tag
        """Tells hosts apart that have one name, and containers that share all but their processes: a few hex digits."""
        self.port: int | None = None
        """Of its listener, 0 for any that is free; None until it was chosen."""
        self._folder = folder
        self._descriptor: int | None = descriptor
        self._untold = b""
        self._writing = native.Lock()  # around the two above
        self._process = os.getpid()

    @classmethod
    def take(cls, state_dir: Path | None) -> Self:
        """Return the lowest number that is free in this state folder.
        Raises ConfigError when the folder can't be had.
        """
        if state_dir is None:
            raise ConfigError(["node.state_dir: workers of one host find each other there, so it can't be false"])
        folder = state_dir / _FOLDER
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(folder):
                tag = _tag(folder)
                number, descriptor = next(_free(folder))
        except StopIteration:
            raise ConfigError([f"node.state_dir: {folder} has {SLOTS_MAX} workers, and takes no more"]) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError([f"node.state_dir: {folder} can't be had: {reason}"]) from None
        return cls(folder, number, descriptor, tag)

    def keep_port(self, port: int) -> None:
        """Remember the port that was chosen, for as long as this worker has the slot."""
        self.port = port

    def publish(self, mesh: str, fingerprint: str, address: str) -> None:
        """Tell other workers of this mesh where this one listens. Where that fails, one line in the log; call
        `publish_again` from time to time.
        """
        with self._writing:
            self._untold = f"{mesh_mark(mesh)} {fingerprint} {address}\n".encode()
            error = self._write()
        if error is not None:
            reason = error.strerror or error
            log.warning("workers of this host aren't told in %s where this one listens: %s", self._folder, reason)

    def publish_again(self) -> None:
        """Tell them what couldn't be written, where there is such; any thread may, while others publish or release."""
        with self._writing:
            told = bool(self._untold) and self._write() is None
        if told:
            log.info("workers of this host are told in %s where this one listens", self._folder)

    def _write(self) -> OSError | None:
        """Write what is untold, unless the slot was released. For whoever holds the lock: another file may have the
        descriptor's number as soon as it is closed.
        """
        if self._descriptor is not None:
            try:
                # First: a disk that is full takes what was there, in other words.
                os.pwrite(self._descriptor, self._untold, 0)
                os.ftruncate(self._descriptor, len(self._untold))
            except OSError as error:
                return error
        self._untold = b""
        return None

    def others(self, mesh: str, fingerprints: tuple[str, ...]) -> list[str]:
        """Return where the other living workers of this mesh listen, those that have a key of ours. Never raises."""
        found: list[str] = []
        with suppress(OSError), _locked(self._folder):
            for path in _numbered(self._folder):
                words = _content_of_living(path).split() if int(path.name) != self.number else []
                if len(words) == 3 and words[0] == mesh_mark(mesh) and words[1] in fingerprints:
                    found.append(words[2])
        return found

    def release(self) -> None:
        """Let the next worker have the number; may be called again. In a forked child it only lets go of the file."""
        if os.getpid() != self._process:  # where nobody gives back a lock that was held at the fork
            self._close()
            return
        with self._writing:
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def mesh_mark(mesh: str) -> str:
    """16 hex digits that tell meshes apart."""
    return sha256(b"meshcache worker\0" + mesh.encode()).hexdigest()[:16]


def _tag(folder: Path) -> str:
    """Return a tag made of a number drawn once for the state folder, and of the PID namespace.

    Containers may share the first; on a host outside of them the second is the same for all processes, at every start.
    """
    path = folder / _ID
    try:
        drawn = path.read_bytes()[:64]
    except FileNotFoundError:
        drawn = secrets.token_hex(16).encode()
        path.write_bytes(drawn)
        path.chmod(0o600)
    try:
        namespace = _PID_NAMESPACE.stat().st_ino
    except OSError:
        namespace = 0
    return sha256(drawn + b"%d" % namespace).hexdigest()[:TAG_CHARS]


def _free(folder: Path) -> Iterator[tuple[int, int]]:
    for number in range(SLOTS_MAX):
        descriptor = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if _lock(descriptor):
            os.ftruncate(descriptor, 0)
            yield number, descriptor
        os.close(descriptor)


def _numbered(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _NUMBER.fullmatch(path.name)]


def _content_of_living(path: Path) -> str:
    """Return what is in a slot whose worker lives, and nothing for one that is free.
    For whoever has the folder locked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return "" if _lock(descriptor) else os.read(descriptor, FILE_BYTES_MAX).decode("ascii", "replace")
    finally:
        _unlock(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(descriptor: int) -> None:
    """Unlock before closing: a child that was forked meanwhile has the descriptor too, and would keep the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Looking whether a slot is free takes its lock for a moment; nobody must meet it in that moment."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_S
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                raise TimeoutError("another process has kept it locked for 5 s")
            native.sleep(0.002)
        yield
    finally:
        _unlock(descriptor)
