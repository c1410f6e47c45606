"""One thing that was looked at, and what it came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class FindingState(Enum):
    """How something is."""

    FINE = "fine"
    NOTE = "note"
    """Worth knowing; nothing suffers yet."""
    PROBLEM = "problem"
    SKIPPED = "skipped"
    """It could not be looked at, and why is said."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``text`` says what was found, ``do`` what to do about it."""

    name: str
    state: FindingState
    text: str
    do: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self) | {"state": self.state.value}


def fine(name: str, text: str) -> Finding:
    return Finding(name, FindingState.FINE, text)


def problem(name: str, text: str, do: str) -> Finding:
    return Finding(name, FindingState.PROBLEM, text, do)


def note(name: str, text: str, do: str = "") -> Finding:
    return Finding(name, FindingState.NOTE, text, do)


def skipped(name: str, text: str) -> Finding:
    return Finding(name, FindingState.SKIPPED, text)
