"""Runs one function in a process that has done nothing before: no other benchmark's memory, garbage or threads."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SECONDS_MAX = 300.0
"""Far more than any benchmark takes in a process of its own, on a machine that is busy with others too."""


def in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function` returns; raises what it raises, or TimeoutError."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result(SECONDS_MAX)
