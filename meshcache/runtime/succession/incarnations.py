"""Keeps the number of this node's life in its state folder: it grows with each start, whatever the clock says.

Peers hear a node under the highest number that they know of its name. Nothing in the file is secret.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from meshcache.core.values.events import Event, IncarnationRaised
from meshcache.core.values.topology import INCARNATION_MAX
from meshcache.runtime import state_file
from meshcache.runtime.state_file import StateFileError

FILE: Final = "incarnation.json"

FILE_BYTES_MAX: Final = 4096

log = logging.getLogger("meshcache.mesh")


class IncarnationFile:
    """The file with the number of a node's life, in one state folder, for the node of one name."""

    def __init__(self, state_dir: Path | None, node: str) -> None:
        """Without a folder the clock alone says which life it is; peers that know better tell."""
        self.path = None if state_dir is None else state_dir / FILE
        self._node = node

    def next(self, unix_ms: int) -> int:
        """Return the number for a life that begins now, kept before it is heard:
        the clock's, or the one after the last.
        """
        incarnation = max(unix_ms, self._last() + 1)
        self.keep(incarnation)
        return incarnation

    def keep(self, incarnation: int) -> None:
        """Remember that this number is used. Where that fails, one line in the log: the clock must do then."""
        if self.path is None:
            return
        try:
            state_file.replace(self.path, json.dumps({"node": self._node, "incarnation": incarnation}))
        except OSError as error:
            log.warning(
                "the number of this node's life can't be kept in %s: %s; peers may refuse it if its clock goes back, "
                "until they have told it",
                self.path,
                error.strerror or error,
            )

    def take(self, events: Iterable[Event]) -> bool:
        """Keep the number that the node took while it ran. Return whether it did."""
        raised = [event.incarnation for event in events if isinstance(event, IncarnationRaised)]
        if raised:
            self.keep(raised[-1])
        return bool(raised)

    def _last(self) -> int:
        """Return the number of the life before, 0 if there was none or it can't be read."""
        if self.path is None:
            return 0
        try:
            content = state_file.read(self.path, FILE_BYTES_MAX)
            if content is None:
                return 0
            plain = json.loads(content)
            node, last = plain["node"], plain["incarnation"]
        except StateFileError as error:
            log.warning("%s; until then the clock says which life this is", error)
            return 0
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            log.warning("%s can't be understood, so the clock says which life this is", self.path)
            return 0
        return last if node == self._node and type(last) is int and 0 <= last < INCARNATION_MAX else 0
