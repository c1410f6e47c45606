"""Where files with ticket keys may be written, and writing them so that nobody reads them or exchanges them.

Every folder on the way has to belong to root or to the user that runs, and nobody else may write to it: whoever can
exchange a key file chooses the key that a server encrypts with. Holds a folder open while it works in it, so that
nothing can be exchanged between the look and the writing.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcache.config import ExportSettings
from meshcache.errors import MeshcacheError
from meshcache.ticket_files.layouts import CONF, Rendered, is_key_file, looks_ours

MEMORY: Final = frozenset({"tmpfs", "ramfs"})
"""Kinds of file systems on which what is deleted is gone."""

_LOOKED_AT_MAX: Final = 16 * 1024
"""Bytes of what is there already: 48 keys of nginx take 5 kB."""

_TEMPORARY: Final = re.compile(r"\.[^/]{1,200}\.[0-9a-f]{16}\.new")


class PlaceError(MeshcacheError):
    """Keys can't be written there: what it is, and what would be right, in words that name the path."""


@dataclass(frozen=True, slots=True)
class ExportPlace:
    """Where the files of one export go, and whose they are. ``folder`` is made if it isn't there."""

    server: str
    folder: Path
    target: str
    """The file in it that the server is told of, and that is replaced last."""

    owner: str | None = None
    group: str | None = None

    @classmethod
    def of(cls, export: ExportSettings) -> ExportPlace:
        """Return the place of an export."""
        folder, target = (export.path, CONF) if export.format == "nginx" else (export.path.parent, export.path.name)
        return cls(export.format, folder, target, export.owner, export.group)

    @property
    def file(self) -> Path:
        """The file that the server is told of."""
        return self.folder / self.target

    def check(self) -> None:
        """Look whether keys can be written there; change nothing. Raises PlaceError."""
        self._ids()
        if self.folder.exists():
            with self._opened(make=False) as folder:
                _check_target(self, folder)
        else:
            os.close(_check_way(_nearest(self.folder)))

    def write(self, rendered: Rendered) -> None:
        """Put the files in place of those before, the one that names the others last. Raises PlaceError."""
        try:
            with self._opened(make=True) as folder:
                _check_target(self, folder)
                _sweep(folder, self._is_left_over)
                for name, content in rendered.files.items():
                    self._replace(folder, name, content)
                os.fsync(folder)
        except OSError as error:
            raise PlaceError(f"{self.file} can't be written: {_why(error)}") from None

    def tidy(self, rendered: Rendered) -> None:
        """Delete the key files that nothing names any more, once the server has read the new ones."""
        if self.server == "nginx":
            with suppress(OSError, PlaceError), self._opened(make=False) as folder:
                _sweep(folder, lambda name: is_key_file(name) and name not in rendered.files)

    def _is_left_over(self, name: str) -> bool:
        """Return whether a file is what a process that was killed was writing for this very place."""
        ours = self.server == "nginx" or name.startswith(f".{self.target}.")
        return ours and _TEMPORARY.fullmatch(name) is not None

    @contextmanager
    def _opened(self, *, make: bool) -> Iterator[int]:
        if make and not self.folder.exists():
            os.close(_check_way(_nearest(self.folder)))
            self._make_folder()
        descriptor = _check_way(self.folder)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _make_folder(self) -> None:
        """Where the server that reads is another user, it has to get in."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.owner or self.group:
                user, group = self._ids()
                os.chown(self.folder, -1, group if group >= 0 else pwd.getpwuid(user).pw_gid)
                self.folder.chmod(0o710)
        except OSError as error:
            raise PlaceError(f"{self.folder} can't be made: {_why(error)}") from None

    def _replace(self, folder: int, name: str, content: bytes) -> None:
        user, group = self._ids()
        temporary = f".{name}.{secrets.token_hex(8)}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                if (user, group) != (-1, -1):
                    os.fchown(descriptor, user, group)
                os.fchmod(descriptor, 0o640 if self.group else 0o600)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise

    def _ids(self) -> tuple[int, int]:
        """Return whose the files become; -1 for what stays as it is. Raises PlaceError for a name that nobody has."""
        try:
            user = -1 if self.owner is None else pwd.getpwnam(self.owner).pw_uid
        except KeyError:
            raise PlaceError(f"there is no user {self.owner} on this machine") from None
        try:
            group = -1 if self.group is None else grp.getgrnam(self.group).gr_gid
        except KeyError:
            raise PlaceError(f"there is no group {self.group} on this machine") from None
        if user not in (-1, os.geteuid()) and os.geteuid() != 0:
            raise PlaceError(f"only root can give files to user {self.owner}; leave owner out, or use group")
        if group != -1 and os.geteuid() != 0 and group not in {os.getegid(), *os.getgroups()}:
            raise PlaceError(f"user {os.geteuid()} is not in group {self.group}, so it can't give files to it")
        return user, group


def memory_fault(path: Path) -> str | None:
    """Return the kind of file system if deleted files may stay readable on it; None in memory, or if it isn't told."""
    with suppress(OSError):
        real = os.path.realpath(path)
        best, kind = "", ""
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            before, _, after = line.partition(" - ")
            at = before.split(" ")[4].replace("\\040", " ")
            if (real == at or real.startswith(at.rstrip("/") + "/")) and len(at) >= len(best):
                best, kind = at, after.split(" ")[0]
        return kind if kind and kind not in MEMORY else None
    return None


def _nearest(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _check_way(folder: Path) -> int:
    """Return a descriptor of a folder to which nobody else has a way in. Raises PlaceError."""
    real = Path(os.path.realpath(folder))
    try:
        for each in (*reversed(real.parents), real):
            _check_folder(each, each.lstat(), last=each == real)
        descriptor = os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _check_folder(real, os.fstat(descriptor), last=True)
            _check_rights(real)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise PlaceError(f"{folder} can't be looked into: {_why(error)}") from None
    return descriptor


def _check_folder(folder: Path, status: os.stat_result, *, last: bool) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISDIR(status.st_mode):
        raise PlaceError(f"{folder} is not a folder")
    if status.st_uid not in (0, os.geteuid()):
        raise PlaceError(
            f"{folder} belongs to user {status.st_uid}, who could put other keys there; it must belong to root or to "
            f"the user that runs, {os.geteuid()}"
        )
    sticky = mode & stat.S_ISVTX and not last  # as /tmp: what is in it is its owner's
    if mode & 0o022 and not sticky:
        raise PlaceError(f"others can write to {folder} (its mode is {mode:04o}): chmod go-w {folder}")


def _check_rights(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PlaceError(f"{folder} can't be written to by this user (uid {os.geteuid()})")


def _check_target(place: ExportPlace, folder: int) -> None:
    """Raises PlaceError where something else would be overwritten."""
    try:
        descriptor = os.open(place.target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError as error:
        link = stat.S_ISLNK(os.stat(place.target, dir_fd=folder, follow_symlinks=False).st_mode)
        why = "is a symbolic link; name the file itself" if link else f"can't be looked at: {_why(error)}"
        raise PlaceError(f"{place.file} {why}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PlaceError(f"{place.file} is not a regular file; move it away")
        if not looks_ours(place.server, os.read(descriptor, _LOOKED_AT_MAX)):
            raise PlaceError(f"{place.file} holds something else than ticket keys for {place.server}; move it away")
    finally:
        os.close(descriptor)


def _sweep(folder: int, goes: Callable[[str], object]) -> None:
    for name in os.listdir(folder):
        if goes(name):
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
