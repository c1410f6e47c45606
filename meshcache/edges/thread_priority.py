"""Lets libzmq's threads run as soon as a message comes, before the handshakes that keep the cores busy.

They work for microseconds at a time and wait otherwise; but on a busy machine a thread that wakes up waits for whoever
runs to use up its slice, some 3 ms, where a session is sent and again where it comes in: longer than a client is away.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from meshcache.edges import native

NICE = -10
"""setpriority(2). Needs CAP_SYS_NICE, or an RLIMIT_NICE that allows it (systemd: ``LimitNICE=-10``)."""

_TASKS = Path("/proc/self/task")
_NAME = "ZMQbg/"
"""libzmq's names for its threads begin like this: ``ZMQbg/IO/0``, ``ZMQbg/Reaper``."""

_THREADS = 2
"""Of a context with one for the network: that and the one that closes sockets."""

_STARTED_S_MAX = 0.5
"""They name themselves, when they first run. What is later keeps its priority."""


def libzmq_threads() -> set[int]:
    """Return the threads of this process that are libzmq's, as the kernel numbers them."""
    return {int(task.name) for task in _TASKS.iterdir() if _name(task).startswith(_NAME)}


def raise_priority(others: set[int]) -> bool:
    """Raise the priority of a context that was just made: of libzmq's threads without those that were there before.

    Waits until they have started. Returns false when this process may not, and nothing has changed then.
    """
    deadline = time.monotonic() + _STARTED_S_MAX
    while len(libzmq_threads() - others) < _THREADS and time.monotonic() < deadline:
        native.sleep(0.001)
    try:
        for thread in libzmq_threads() - others:
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, thread, NICE)
    except OSError:  # no right, or a sandbox that knows no such call
        return False
    return True


def _name(task: Path) -> str:
    try:
        return (task / "comm").read_text()
    except OSError:  # it has ended
        return ""
