"""Reads a password from a file that nobody else can read; shows it to nobody."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from meshcache.edges.secrecy import why_exposed
from meshcache.hooks import TierError

SECRET_BYTES_MAX = 4096


def read_secret(path: Path) -> str:
    """Return the first line of a file. Raises TierError, which never shows what is in it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO mustn't hang anybody
        try:
            status = os.fstat(descriptor)
            why = "it is not a regular file" if not stat.S_ISREG(status.st_mode) else why_exposed(path, status)
            content = b"" if why else os.read(descriptor, SECRET_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise TierError(f"{path} can't be read: {(error.strerror or str(error)).lower()}") from None
    secret = content.split(b"\n", 1)[0].rstrip(b"\r")
    if why is None and not (secret and len(secret) <= SECRET_BYTES_MAX and secret.isascii()):
        why = "its first line must be a password in ASCII"
    if why is not None:
        raise TierError(f"{path}: {why}")
    return secret.decode()
