"""Says whether a secret file can be read by anybody but those it is meant for; reads none of them.

Meant for: its owner, who is root or the user that runs; and, as Debian's ssl-cert, Kubernetes' fsGroup and systemd's
LoadCredential= hand secrets out, a group of the user that runs, where root owns the file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Where systemd puts what LoadCredential= names (systemd.exec(5)); the user is let in by an ACL, which looks like a
group's right."""


def why_exposed(path: Path, status: os.stat_result) -> str | None:
    """Return what is wrong with the mode or the owner of a secret, and what would be right; None when nothing is."""
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in (0, os.geteuid()):
        return (
            f"it belongs to user {status.st_uid}; it must belong to the user that runs, {os.geteuid()}, or to root"
            f"{_where_to_mend(path)}"
        )
    if mode & 0o037 or (mode & 0o040 and not _handed_out(path, status)):
        return (
            f"its mode is {mode:04o}, so others can reach it; it must be 0600: chmod 600 (or 0640 of root, for a group "
            f"that the user that runs is in){_where_to_mend(path)}"
        )
    return None


def _where_to_mend(path: Path) -> str:
    """Say how to follow that where nobody can change the file: on a read-only mount, as secrets' are."""
    try:
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    except OSError:
        return ""
    if not read_only:
        return ""
    return (
        "; it is on a read-only mount, so set that where it is mounted from: in Kubernetes defaultMode: 0440 and "
        "fsGroup, in Compose the secret's uid and mode, with systemd LoadCredential="
    )


def _handed_out(path: Path, status: os.stat_result) -> bool:
    if status.st_uid != 0:
        return False
    credentials = os.environ.get(CREDENTIALS)
    if credentials and path.parent == Path(credentials):
        return True
    return status.st_gid != 0 and (os.geteuid() == 0 or status.st_gid in {os.getegid(), *os.getgroups()})
