"""Reads and writes key files so that nobody else can: mode, owner and kind are checked, writing is atomic.

Decides nothing about keys; `keyring` does.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from meshcache.edges.keyring import Keyring
from meshcache.edges.secrecy import why_exposed
from meshcache.errors import KeyringError

FILE_BYTES_MAX = 16 * 1024
"""Four keys with comments take under 1 KiB; what is larger is not a key file and is not read."""

_MODE = 0o600


def load_keyring(path: Path) -> Keyring:
    """Read a key file. Raises KeyringError, which names the file and never shows what is in it."""
    try:
        return Keyring.from_toml(_read(path))
    except KeyringError as error:
        raise KeyringError(f"key file {path}: {error}") from None


def create_keyring(path: Path, keyring: Keyring) -> None:
    """Write a key file that wasn't there. Raises KeyringError when it is there, or can't be written."""
    _write(path, keyring, replace=False)


def save_keyring(path: Path, keyring: Keyring) -> None:
    """Put a keyring in the place of the one at `path`; a reader sees the old file or the new one, never half of one.

    It stays the same owner's and group's, and as readable for the group: whoever rotates a service's key is root.
    Raises KeyringError when it can't be written; the old file is as it was.
    """
    _write(path, keyring, replace=True)


def _read(path: Path) -> str:
    try:
        # O_NONBLOCK: opening a FIFO that somebody put here must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyringError("there is no such file; `meshcache key new FILE` makes one") from None
    except OSError as error:
        raise KeyringError(f"it can't be opened: {error.strerror}") from None
    try:
        _check(path, os.fstat(descriptor))
        content = os.read(descriptor, FILE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(content) > FILE_BYTES_MAX:
        raise KeyringError(f"it is larger than {FILE_BYTES_MAX} bytes and no key file")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise KeyringError("it is not UTF-8 text; `meshcache key new` makes a key file") from None


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyringError("it is not a regular file")
    why = why_exposed(path, status)
    if why is not None:
        raise KeyringError(why)


def _write(path: Path, keyring: Keyring, *, replace: bool) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            _write_all(temporary, keyring.to_toml().encode(), path.stat() if replace else None)
            _put_in_place(temporary, path, replace=replace)
        finally:  # what couldn't be written whole may have a secret in it
            with suppress(FileNotFoundError):
                temporary.unlink()
    except FileExistsError:
        raise KeyringError(f"key file {path} is there already; it was left as it is") from None
    except OSError as error:
        raise KeyringError(f"key file {path} can't be written: {error.strerror}") from None


def _write_all(path: Path, content: bytes, like: os.stat_result | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "wb") as file:
        if like is not None:
            _give_to(descriptor, like)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _give_to(descriptor: int, like: os.stat_result) -> None:
    """Make a file its predecessor's owner's, and its group's where that may read it. Raises PermissionError where only
    root may.
    """
    read_by_group = like.st_mode & stat.S_IRGRP
    own = os.fstat(descriptor)
    group = like.st_gid if read_by_group else own.st_gid
    if (own.st_uid, own.st_gid) != (like.st_uid, group):
        os.fchown(descriptor, like.st_uid, group)
    os.fchmod(descriptor, _MODE | read_by_group)


def _put_in_place(temporary: Path, path: Path, *, replace: bool) -> None:
    if replace:
        temporary.replace(path)
    else:
        path.hardlink_to(temporary)  # unlike rename, this fails when the name is taken
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # else a crash could bring the old name back, and with it a retired key
    finally:
        os.close(directory)
