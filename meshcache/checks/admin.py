"""Judges what `[admin]` and `[log]` name: the token, the port's certificate and its key, the access log's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from meshcache.admin.token_file import load_token
from meshcache.checks.certificates import pair_faults
from meshcache.config import AdminSettings, LogSettings
from meshcache.errors import ConfigError

STDOUT = Path("/dev/stdout")
"""What is open already; as journald's socket it can't be opened by its name."""


def admin_file_faults(admin: AdminSettings, now: datetime) -> list[str]:
    """Return every fault, as `serve` would find it when it opens the port."""
    faults = pair_faults("admin", admin.certificate, admin.private_key, (), now)
    if admin.http is not None and admin.token_file is not None:
        try:
            load_token(admin.token_file)
        except ConfigError as error:
            faults += error.faults
    return faults


def log_faults(log: LogSettings) -> Iterator[str]:
    """Check whether the access log can be opened; it isn't."""
    path = log.access
    if path is None or path == STDOUT or (path.exists() and not path.is_dir() and os.access(path, os.W_OK)):
        return
    if path.is_dir():
        yield f"log.access: {path} is a folder; name a file in it"
    elif path.exists() or not os.access(path.parent, os.W_OK | os.X_OK):
        what = "there is no folder" if not path.parent.exists() else f"user {os.geteuid()} can't write to"
        yield f"log.access: {what} {path if path.exists() else path.parent}"
