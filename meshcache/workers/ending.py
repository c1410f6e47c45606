"""Ends a worker's node with its process: at exit, and at a SIGTERM that nobody else handles.

uvicorn, for one, restores SIGTERM's default and raises it again when it has shut down: neither ``with`` nor ``finally``
nor `atexit` runs then, and the peers would only notice by the silence.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import weakref
from typing import Any, Protocol

from meshcache.edges import native

CLOSE_S = 3.0
"""How long SIGTERM waits for the goodbyes: a node closes within about a second."""


class Closable(Protocol):
    def close(self) -> None: ...


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def close_at_end(node: Closable) -> None:
    """Close `node` when the process exits, or is told to by SIGTERM and has no handler of its own."""
    _open.add(node)
    prepare()


def prepare() -> None:
    """Be there for SIGTERM before a server puts its own handler in the place of ours, and later ours back.

    Nothing happens on other threads than the main one, where there is a handler already, and as PID 1: that one isn't
    ended by SIGTERM's default, so its program exits by itself.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and os.getpid() != 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def close_all() -> None:
    for node in list(_open):
        node.close()


def _terminated(number: int, _frame: Any) -> None:
    """Close on another thread: a signal comes in the midst of anything, maybe with the node's lock held."""
    closer = native.thread(close_all, "meshcache-ending")
    closer.start()
    closer.join(CLOSE_S)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


atexit.register(close_all)
