"""Reads the token that whoever asks over HTTP from another machine has to show; `tokens` asks them for it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from meshcache.edges.secrecy import why_exposed
from meshcache.errors import ConfigError

TOKEN_CHARS_MIN: Final = 16
TOKEN_BYTES_MAX: Final = 4096


def load_token(path: Path) -> str:
    """Return the token in a file, without white space around it.
    Raises ConfigError, which never shows what is in it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO mustn't hang the start
        try:
            status = os.fstat(descriptor)
            why = "it is not a regular file" if not stat.S_ISREG(status.st_mode) else why_exposed(path, status)
            content = b"" if why else os.read(descriptor, TOKEN_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(
            [f"admin.token_file: {path} can't be read: {(error.strerror or str(error)).lower()}"]
        ) from None
    token = content.strip()
    if why is None and not (token.isascii() and b" " not in token and TOKEN_CHARS_MIN <= len(token) < TOKEN_BYTES_MAX):
        why = f"it must hold one word of {TOKEN_CHARS_MIN} characters or more: openssl rand -hex 32 > {path}"
    if why is not None:
        raise ConfigError([f"admin.token_file: {path}: {why}"])
    return token.decode()
