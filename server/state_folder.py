"""Holds the node's state folder for this process: two nodes in one would each undo what the other keeps there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from meshcache import ConfigError

FILE = "lock"


class StateFolder:
    """The folder of one node; held from `hold` to `release`, or to the end of the process, however that comes."""

    def __init__(self, path: Path | None) -> None:
        """Without a folder there is nothing to hold."""
        self.path = path
        self._descriptor: int | None = None

    def hold(self) -> None:
        """Take it, if it isn't taken yet. Raises ConfigError when another process has it, or it can't be had."""
        if self.path is None or self._descriptor is not None:
            return
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ConfigError([f"node.state_dir: {self.path} can't be had: {why}"]) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            fault = f"node.state_dir: {self.path} is in use by another node; give each node a folder of its own"
            raise ConfigError([fault]) from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Let another process have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
