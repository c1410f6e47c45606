"""An event loop for a tier's coroutines, on a thread of its own, for whoever waits for them on another.

Knows no tier and nothing of what is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from meshcache.edges import native

CALL_S_MAX = 30.0
"""How long a coroutine of a tier may take, where nobody waits for it."""

T = TypeVar("T")


class OwnLoop:
    """An event loop on a thread of its own, made when a tier's first coroutine is to be run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = native.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wait_for(self, result: Awaitable[T]) -> T:
        """Return what a coroutine returns, or raise what it raises; TimeoutError when that takes too long."""
        with self._lock:
            loop = self._loop
            if loop is None:
                loop = self._loop = asyncio.new_event_loop()
                native.thread(loop.run_forever, f"meshcache-tier-{self._name}-loop").start()
        done = asyncio.run_coroutine_threadsafe(_awaited(result), loop)
        try:
            return done.result(CALL_S_MAX)
        except TimeoutError:
            done.cancel()
            raise

    def close(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)


async def _awaited(result: Awaitable[T]) -> T:
    return await result
