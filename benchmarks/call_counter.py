"""Counts the Python functions that the loop's thread calls, by module, while it is told to. In the server's process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import meshcache_server

import meshcache

_HOMES = [
    (str(Path(meshcache.__file__).parent), "meshcache"),
    (str(Path(meshcache_server.__file__).parent), "meshcache_server"),
]


class CallCounter:
    """`start` and `stop` may be called on any thread; what is counted is the thread of `loop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._python: Counter[str] = Counter()
        self._c = 0

    def start(self, _: str = "") -> str:
        """Begin anew."""
        self._python.clear()
        self._c = 0
        self._loop.call_soon_threadsafe(sys.setprofile, self._count)
        return "started"

    def stop(self, _: str = "") -> str:
        """End; the counts as JSON: calls of C functions, and of Python's by module."""
        self._loop.call_soon_threadsafe(sys.setprofile, None)
        counted = dict(self._python)
        return json.dumps({"c": self._c, "python": counted})

    def _count(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            self._python[frame.f_code.co_filename] += 1
        elif event == "c_call":
            self._c += 1


def module_of(filename: str) -> str:
    """A file as this project would name it; others by their last two parts, such as ``OpenSSL/SSL``."""
    for home, name in _HOMES:
        if filename.startswith(home + "/"):
            return name + filename.removeprefix(home).removesuffix(".py").replace("/", ".")
    return "/".join(Path(filename).with_suffix("").parts[-2:])
