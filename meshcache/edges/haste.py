"""Lets libzmq's threads run as soon as a message comes, before the handshakes that keep the cores busy.

They work for microseconds at a time and wait otherwise; but on a busy machine a thread that wakes up waits for whoever
runs to use up its slice, some 3 ms, where a session is sent and again where it comes in: longer than a client is away.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

NICE = -10
"""setpriority(2). Needs CAP_SYS_NICE, or an RLIMIT_NICE that allows it (systemd: ``LimitNICE=-10``)."""

_TASKS = Path("/proc/self/task")
_NAME = "ZMQbg/"
"""libzmq's names for its threads begin like this: ``ZMQbg/IO/0``, ``ZMQbg/Reaper``."""


def libzmq_threads() -> set[int]:
    """The threads of this process that are libzmq's, as the kernel numbers them."""
    return {int(task.name) for task in _TASKS.iterdir() if _name(task).startswith(_NAME)}


def hasten(threads: Iterable[int]) -> bool:
    """Raise the priority of threads; False when this process may not, and nothing has changed then."""
    try:
        for thread in threads:
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, thread, NICE)
    except PermissionError:
        return False
    return True


def _name(task: Path) -> str:
    try:
        return (task / "comm").read_text()
    except OSError:  # it has ended
        return ""
