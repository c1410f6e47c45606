"""Describes an exception for the log without its message, which can hold a session id (``KeyError: b'…'``)."""

from __future__ import annotations

import traceback
from pathlib import PurePath

FRAMES_MAX = 6
"""The innermost ones, which is where a fault is."""


def shown(error: BaseException | None) -> str:
    """Return the kind of error and where it was raised, innermost last:
    ``KeyError at mesh.py:41 lookup > cache.py:7 get``.
    """
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:] if error is not None else []
    places = " > ".join(f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {places}"
