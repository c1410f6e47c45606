"""Keeps in the state folder where this node's peers listen, so that one that starts anew finds its mesh without a seed.

Addresses are hints like any: what is there must show a key of the mesh. Nothing in the file is secret.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from meshcache.core.membership.remembered_addresses import ADDRESSES_MAX
from meshcache.core.values.events import Event, PeerForgotten, PeerJoined, PeerLeft, PeerLost
from meshcache.runtime import state_file
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.state_file import StateFileError

FILE: Final = "peers.json"

FILE_BYTES_MAX: Final = 256 * 1024
"""As many addresses as there can be, with the longest host names."""

KEPT_S: Final = 7 * 24 * 3600.0
"""Who wasn't heard for longer isn't tried at the next start: a machine may well be off over a long weekend."""

SAVE_S: Final = 5.0
"""Between two writings, so that a colo that restarts costs a node one or two."""

REFRESH_S: Final = 3600.0
"""A node that is killed after a quiet month must not have left a month-old file."""

_FORMAT = 1

log = logging.getLogger("meshcache.mesh")


class PeerFile:
    """The file with peers' addresses, in one state folder, for one mesh."""

    def __init__(self, state_dir: Path | None, mesh: str) -> None:
        """Without a folder nothing is kept."""
        self.path = None if state_dir is None else state_dir / FILE
        self._mesh = mesh

    def load(self, unix_s: float) -> dict[str, float]:
        """Return addresses, with the seconds since somebody was heard there; nothing, and a line in the log, where it
        fails.

        The latest heard is the last, which is remembered longest. A time that is still to come counts as now: the
        clock was set back.
        """
        try:
            content = None if self.path is None else state_file.read(self.path, FILE_BYTES_MAX)
            kept = {} if content is None else self._read(content, unix_s)
        except (OSError, StateFileError) as error:
            log.warning("peers of an earlier start aren't tried: %s", getattr(error, "strerror", None) or error)
            return {}
        except (ValueError, TypeError, LookupError, RecursionError):
            log.warning("%s can't be understood, so peers of an earlier start aren't tried", self.path)
            return {}
        return dict(sorted(kept.items(), key=lambda place: -place[1])[-ADDRESSES_MAX:])

    def save(self, places: Mapping[str, float], unix_s: float) -> None:
        """Replace what is kept: addresses, with the seconds since somebody was heard there. Raises OSError."""
        latest = sorted(places.items(), key=lambda place: (place[1], place[0]))[:ADDRESSES_MAX]
        peers = [[address, round(unix_s - heard_s)] for address, heard_s in latest if heard_s <= KEPT_S]
        content = {"format": _FORMAT, "mesh": self._mesh, "peers": peers}
        if self.path is not None:
            state_file.replace(self.path, json.dumps(content, indent=1), sync=False)

    def _read(self, content: bytes, unix_s: float) -> dict[str, float]:
        """Another mesh's peers are none of ours. Raises for what `save` wouldn't write."""
        plain = json.loads(content)
        if len(content) > FILE_BYTES_MAX or plain["format"] != _FORMAT or len(plain["peers"]) > ADDRESSES_MAX:
            raise ValueError("format")
        if plain["mesh"] != self._mesh:
            return {}
        heard = {_text(address): max(unix_s - _number(heard_at), 0.0) for address, heard_at in plain["peers"]}
        return {address: heard_s for address, heard_s in heard.items() if heard_s <= KEPT_S}


class RememberedPeers:
    """Tells the core what was kept, and writes the file when peers came or went, on the pump's thread."""

    def __init__(self, file: PeerFile, pump: Pump) -> None:
        """Make it before the pump starts."""
        self._file = file
        self._pump = pump
        self._due_at = pump.clock() + REFRESH_S
        self._saved_at = -math.inf
        self._failing = False
        for address, heard_s in file.load(time.time()).items():
            pump.core.remembered(address, heard_s, pump.clock())
        pump.call_before_sleep(self.due)
        pump.call_after_each_step(self.tick)

    def due(self) -> float:
        """Return when `tick` is wanted next."""
        return self._due_at

    def take(self, events: Iterable[Event]) -> None:
        """Have the file written soon, if these say that a peer came or went."""
        if any(isinstance(event, PeerJoined | PeerLost | PeerLeft | PeerForgotten) for event in events):
            self._due_at = min(self._due_at, max(self._pump.clock(), self._saved_at + SAVE_S))

    def tick(self) -> None:
        """Write, if it is due."""
        if self._due_at <= self._pump.clock():
            self.save()

    def save(self) -> None:
        """Write now. Where that fails, one line in the log until it works again."""
        self._saved_at = self._pump.clock()
        self._due_at = self._saved_at + REFRESH_S
        try:
            with self._pump.lock:
                places = self._pump.core.places(self._pump.clock())
            self._file.save(places, time.time())
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning(
                    "where peers listen can't be kept in %s: %s; without a seed a start anew may find nobody",
                    self._file.path,
                    error.strerror or error,
                )
            self._failing = True


def _text(plain: object) -> str:
    if type(plain) is not str:
        raise ValueError("text")
    return plain


def _number(plain: object) -> int:
    if type(plain) is not int:
        raise ValueError("number")
    return plain
