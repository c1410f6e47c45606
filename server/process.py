"""What a server that holds keys asks of the kernel for itself: no core dumps, enough open files."""

from __future__ import annotations

import ctypes
import logging
import resource
import sys
from contextlib import suppress

log = logging.getLogger("meshcache.server")

FILES_BESIDES = 256
"""For listeners, the mesh's sockets, the admin interface, the loop and the libraries."""

_PR_SET_DUMPABLE = 4


def keep_secrets_in() -> None:
    """No core dump, and no reading of this process's memory by others of its user (prctl(2), PR_SET_DUMPABLE).

    Sessions and keys are in that memory. Root can still look, and so can whoever is root on the host.
    """
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def allow_files(connections_max: int, files_each: int) -> None:
    """Raise the soft limit of open files to what so many connections need, and say so when the hard limit is lower."""
    needed = connections_max * files_each + FILES_BESIDES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < needed:
        log.warning(
            "max_connections needs %d open files, and the limit is %d: raise LimitNOFILE= or ulimit", needed, wanted
        )
