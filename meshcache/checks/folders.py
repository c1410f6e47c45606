"""Sees whether a folder that is named is there or could be made, and takes files. Leaves nothing behind."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from meshcache.config import Settings

_NO_NAMELESS: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.EPERM})
"""How a file system says that it knows no nameless files (open(2)), or that it is none to keep files in."""


def nearest(path: Path) -> Path:
    """Return the folder, or the nearest above it that is there, as far as this user may look."""
    for folder in (path, *path.parents):
        try:
            folder.stat()
        except OSError:
            continue
        return folder
    return path


def why_not_taken(folder: Path) -> str | None:
    """Return why a folder that is there takes no files, though its mode allows it, as in /proc; None if it does."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return _why_no_folder(folder) if error.errno in _NO_NAMELESS else _reason(error)
    return None


def state_folder_faults(path: Path | None) -> Iterator[str]:
    """Check ``node.state_dir``; it isn't made, since nothing is changed here."""
    if path is None:
        return
    folder = nearest(path)
    if folder.is_dir() and os.statvfs(folder).f_flag & os.ST_RDONLY:
        yield (
            f"node.state_dir: {path} can't be written to: {folder} is mounted read-only; mount a folder for it, name "
            "one that is writable (with admin.sock in it), or set it to false: then nothing is kept over a restart"
        )
    else:
        yield from _faults("node.state_dir", path, folder)


def socket_folder_faults(settings: Settings) -> Iterator[str]:
    """Check the folder of ``admin.socket``, where that isn't in the state folder, which is looked at by itself."""
    path, state_dir = settings.admin.socket, settings.node.state_dir
    if path is not None and (state_dir is None or state_dir not in path.parents):
        yield from _faults("admin.socket", path.parent, nearest(path.parent))


def _faults(place: str, path: Path, folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        yield f"{place}: {folder} is not a folder"
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"{place}: {folder} can't be written to by this user (uid {os.geteuid()})"
    elif (why := why_not_taken(folder)) is not None:
        yield f"{place}: {path} can't be had: {folder} takes no {'files' if folder == path else 'folders'}: {why}"


def _why_no_folder(folder: Path) -> str | None:
    try:
        Path(tempfile.mkdtemp(prefix=".meshcache-", dir=folder)).rmdir()
    except OSError as error:
        return _reason(error)
    return None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
