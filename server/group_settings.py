"""The settings of a group's workers: those that all of them have taken last, whatever is in the file by now.

A worker that starts in another's place has what its siblings have, so that no border of sharing runs through one
server: neither an edit that was never reloaded comes in force with it, nor one that waits for a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshcache import ConfigError, Settings, changed_keys, load, needs_restart, read_config


@dataclass(frozen=True, slots=True)
class Fresh:
    """What is in the file: its text, and the settings in it."""

    content: bytes
    settings: Settings


class GroupSettings:
    """The text of one file as the group began with it, and as the workers have taken it. `number` grows with each."""

    def __init__(self, path: Path, overrides: Sequence[str]) -> None:
        """Read the file. Raises ConfigError."""
        self.path = path.absolute()
        self._overrides = tuple(overrides)
        fresh = self.read()
        self._begun = self._taken = fresh.content
        self.now = fresh.settings
        self.number = 0

    def read(self) -> Fresh:
        """Return what is in the file now, once: it may change at any time. Raises ConfigError."""
        content = read_config(self.path)
        return Fresh(content, load(self.path, self._overrides, content=content))

    def still(self, fresh: Fresh) -> bool:
        """Return whether the file is as it was when that was read."""
        with suppress(ConfigError):
            return read_config(self.path) == fresh.content
        return False

    def take(self, fresh: Fresh) -> tuple[list[str], list[str]]:
        """From now on workers run with that. Return the keys that it changes, and those that only a restart does."""
        changed = changed_keys(self.now, fresh.settings)
        restart = needs_restart(changed)
        self._taken = fresh.content
        self.now = fresh.settings.without_restart(self.now)
        self.number += 1
        return [key for key in changed if key not in restart], restart

    def for_start(self) -> dict[str, Any]:
        """Return what a worker that starts makes its settings of: what needs a restart is as the group began."""
        return {"file": str(self.path), "overrides": list(self._overrides), "begun": self._begun.decode()} | self.told()

    def told(self) -> dict[str, Any]:
        """Return what a worker that runs makes its settings of."""
        return {"taken": self._taken.decode(), "number": self.number}
