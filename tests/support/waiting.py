"""Waiting for a condition with a deadline, which is how tests wait: never by sleeping for a guessed time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = float(os.environ.get("PATIENCE_S", "60"))
"""How long a test waits for what is sure to come: a machine that is busy with something else is no reason to fail. In
a weakened build, where tests are meant to fail, less will do."""

_FIRST_PAUSE_S = 0.002
_PAUSE_S_MAX = 0.05


def wait_until(condition: Callable[[], T], within_s: float = PATIENCE_S, what: str = "") -> T:
    """Call `condition` until it gives something true, and return that; fails the test after `within_s`.

    An exception in `condition` counts as not yet, and is shown when time runs out.
    """
    deadline = time.monotonic() + within_s
    pause = _FIRST_PAUSE_S
    while True:
        answer, error = _ask(condition)
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or condition}; last: {answer!r}") from error
        time.sleep(pause)
        pause = min(pause * 1.5, _PAUSE_S_MAX)


async def wait_until_async(condition: Callable[[], T], within_s: float = PATIENCE_S, what: str = "") -> T:
    """The same under asyncio, with the loop running meanwhile."""
    deadline = time.monotonic() + within_s
    pause = _FIRST_PAUSE_S
    while True:
        answer, error = _ask(condition)
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or condition}; last: {answer!r}") from error
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _PAUSE_S_MAX)


def _ask(condition: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return condition(), None
    except Exception as error:  # noqa: BLE001  # whatever it is, it may pass; shown at the deadline
        return None, error
