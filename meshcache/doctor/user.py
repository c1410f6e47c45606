"""Sees whether whoever asks is the user that runs the node: another may neither read its key nor ask it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from meshcache.doctor.finding import Finding, note

AS_THE_NODE: Final = "run doctor as the user that runs the node"


def runs_as(socket: Path) -> int | None:
    """Return the user whose socket this is, or whose folder it is in where we may not look into that, if it is not the
    one that asks; None where it is, where there is no socket, and for root, who may ask any node.
    """
    own = os.geteuid()
    for path in (socket, *socket.parents):
        try:
            owner = path.stat().st_uid
        except PermissionError:
            continue
        except OSError:
            return None
        return None if own in (0, owner) else owner
    return None


def user_finding(owner: int, path: Path) -> Finding:
    """Say that most of what follows is about this user and not about the node."""
    return note(
        "user",
        f"user {os.geteuid()} is not the one that runs the node, {owner} by {path}: what this one may not read, write "
        "or ask is no fault of the node's",
        AS_THE_NODE,
    )
