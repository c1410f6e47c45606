"""The handshake's hot path: a compiled module when there is one, and what it is asked to do without it.

`hot.h` says what its files share. Whoever may not use it, for want of a compiler or because MESHCACHE_PURE is set, does
the same in Python, with the same answers. Imports nothing else of meshcache. It decides nothing: it remembers verdicts.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshcache.hot._hot import (
        Answers,
        Callbacks,
        ContextNames,
        Door,
        Inflow,
        Lock,
        TierFile,
        TierRecords,
        TierSealer,
        VipCache,
    )

__all__ = [
    "PURE",
    "Answers",
    "Callbacks",
    "ContextNames",
    "Door",
    "Inflow",
    "Lock",
    "TierFile",
    "TierRecords",
    "TierSealer",
    "VipCache",
    "compiled",
    "load",
    "new_answers",
    "described",
    "path",
    "why_not",
]

PURE = "MESHCACHE_PURE"
"""An environment variable: whatever it is set to but nothing, 0 or no, Python does all of it."""


INTERFACE = 21
"""Which methods the module has and what they mean, as module.c says too: one from before a change is not used."""


def load() -> tuple[ModuleType | None, str]:
    """Return the module, or None and why there is none."""
    if os.environ.get(PURE, "") not in ("", "0", "no"):
        return None, f"{PURE} is set"
    try:
        from meshcache.hot import _hot
    except ImportError as error:
        return None, f"the compiled module can't be had: {error}"
    if getattr(_hot, "INTERFACE", 0) != INTERFACE:
        return None, "the compiled module was built from other sources: install meshcache again"
    return _hot, ""


compiled, why_not = load()
"""What this process uses."""


def path() -> str:
    """Return which hot path runs: ``c`` or ``python``."""
    return "python" if compiled is None else "c"


def described() -> str:
    """Return which hot path runs, in words for an operator."""
    return "compiled" if compiled is not None else f"in Python: {why_not}"


def new_answers() -> Answers:
    """Return room for what the compiled callbacks remember of one VIP's names."""
    assert compiled is not None, "only they ask"
    answers: Answers = compiled.Answers()
    return answers
