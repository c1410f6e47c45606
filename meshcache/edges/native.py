"""Threads, locks and waits of the operating system, also where gevent has put its own into the standard library.

The mesh's threads wait in ZeroMQ and in poll(2), which know no greenlet: as greenlets they would stop the whole
program.
Whether gevent patches before this is imported or after makes no difference: what is used here is the original.
"""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

JOIN_S = 60.0
"""What ``join()`` without a timeout waits at most: nothing here blocks for longer."""


def original(module: str, name: str) -> Any:
    """Return a name of the standard library as it was before gevent patched it."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(import_module(module), name) if monkey is None else monkey.get_original(module, name)


_start_new_thread = original("_thread", "start_new_thread")
_allocate_lock = original("_thread", "allocate_lock")

RLock: Callable[[], Any] = original("_thread", "RLock")
sleep: Callable[[float], None] = original("time", "sleep")
poll: Callable[[], select.poll] = original("select", "poll")
epoll: Callable[[], select.epoll] = original("select", "epoll")


def Lock() -> threading.Lock:  # noqa: N802 - the name by which everybody knows it
    """Return a lock that blocks its thread, with all greenlets on it: hold it for microseconds."""
    lock: threading.Lock = _allocate_lock()
    return lock


def patched() -> bool:
    """Return whether gevent has put greenlets in the place of threads, by now."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_object_patched("_thread", "start_new_thread"))


class ThreadLike(Protocol):
    """What is asked of a thread."""

    def start(self) -> None: ...
    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...


def thread(target: Callable[[], None], name: str) -> ThreadLike:
    """Return a daemon thread of the operating system that runs `target` once it is started."""
    return _Native(target) if patched() else threading.Thread(target=target, name=name, daemon=True)


class Event:
    """`threading.Event` whose waiting blocks the thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._set = False
        self._waiting: list[threading.Lock] = []

    def is_set(self) -> bool:
        return self._set

    @property
    def waiting(self) -> int:
        """How many threads wait for it."""
        with self._lock:
            return len(self._waiting)

    def set(self) -> None:
        with self._lock:
            self._set = True
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.release()

    def clear(self) -> None:
        with self._lock:
            self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or for `timeout` seconds. Return whether it is set."""
        waiter = Lock()
        waiter.acquire()
        with self._lock:
            if self._set:
                return True
            self._waiting.append(waiter)
        if not waiter.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            with self._lock:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
        return self._set


class _Native:
    """A thread without `threading`, whose threads are greenlets under gevent."""

    def __init__(self, target: Callable[[], None]) -> None:
        self._target = target
        self._over = Event()
        self._started = False

    def start(self) -> None:
        self._started = True
        _start_new_thread(self._run, ())

    def is_alive(self) -> bool:
        return self._started and not self._over.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._over.wait(JOIN_S if timeout is None else timeout)

    def _run(self) -> None:
        try:
            self._target()
        finally:
            self._over.set()
