"""Keeps live policies in the node's state folder, so that a restart changes nothing: one file, replaced as a whole.

Nothing in it is secret; who can write it can set policies, so only its owner may. What it can't read it sets aside.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Final, NamedTuple

from meshcache.config import Settings
from meshcache.core.control.live_policies import ENTRIES_MAX, KEYS_MAX
from meshcache.core.values.topology import NAME_BYTES_MAX, VIPS_MAX
from meshcache.core.wire.messages import LIVE_NUMBER_MAX, LIVE_VALUE_BYTES_MAX, LiveEntry
from meshcache.errors import ConfigError
from meshcache.runtime import state_file
from meshcache.runtime.state_file import POLICY_FILE, StateFileError

FILE_BYTES_MAX: Final = 4 * 2**20
"""As many entries as there can be, with the longest values, and names that are no secret of ours."""

_FORMAT = 1

log = logging.getLogger("meshcache.policy")


class Kept(NamedTuple):
    """What is kept: the mesh's live policies as this node knows them, and this node's own values by VIP and key."""

    live: list[LiveEntry]
    node: dict[str, dict[str, str]]


class PolicyFile:
    """The file in one state folder, for one mesh. It, and the folder, are made when there is something to keep."""

    def __init__(self, state_dir: Path | None, mesh: str) -> None:
        """Without a folder nothing is kept: after a restart this node knows what its peers tell it."""
        self.path = None if state_dir is None else state_dir / POLICY_FILE
        self._mesh = mesh

    @classmethod
    def of(cls, settings: Settings) -> PolicyFile:
        """Return the file of a node with these settings."""
        return cls(settings.node.state_dir, settings.mesh.name)

    def load(self) -> Kept:
        """Return what was kept, nothing if there is no file. One that is broken is set aside, with a line in the log.

        Raises ConfigError when others than the owner can write the file.
        """
        if self.path is None:
            return Kept([], {})
        try:
            content = state_file.read(self.path, FILE_BYTES_MAX)
        except OSError as error:
            raise ConfigError([f"node.state_dir: {self.path} can't be read: {_reason(error)}"]) from None
        except StateFileError as error:
            raise ConfigError([f"node.state_dir: {error}"]) from None
        if content is None:
            return Kept([], {})
        try:
            return _read(content, self._mesh)
        except (ValueError, TypeError, LookupError, RecursionError):
            self._set_aside(self.path)
            return Kept([], {})

    def save(self, kept: Kept) -> None:
        """Replace what is kept. Raises OSError; the file is as it was then."""
        live = [list(entry) for entry in kept.live]
        content = {"format": _FORMAT, "mesh": self._mesh, "live": live, "node": kept.node}
        if self.path is not None:
            state_file.replace(self.path, json.dumps(content, indent=1, ensure_ascii=False))

    def _set_aside(self, path: Path) -> None:
        aside = path.with_suffix(".broken")
        log.error("%s can't be understood and was set aside as %s; peers tell what they know", path, aside.name)
        path.replace(aside)


def _read(content: bytes, mesh: str) -> Kept:
    """Another mesh's policies are none of ours. Raises ValueError, TypeError or LookupError for what `save` wouldn't
    write."""
    if len(content) > FILE_BYTES_MAX:
        raise ValueError("too long")
    plain = json.loads(content)
    if plain["format"] != _FORMAT or len(plain["live"]) > ENTRIES_MAX or len(plain["node"]) > VIPS_MAX:
        raise ValueError("format")
    if plain["mesh"] != mesh:
        return Kept([], {})
    node = {_name(vip): _values(values) for vip, values in plain["node"].items()}
    return Kept([_entry(entry) for entry in plain["live"]], node)


def _entry(plain: Any) -> LiveEntry:
    scope, name, key, number, author, value = plain
    if type(number) is not int or not 0 < number <= LIVE_NUMBER_MAX:
        raise ValueError("number")
    return LiveEntry(_name(scope), _name(name), _name(key), number, _name(author), _value(value))


def _values(plain: Any) -> dict[str, str]:
    if type(plain) is not dict or len(plain) > KEYS_MAX:
        raise ValueError("values")
    return {_name(key): _value(value) for key, value in plain.items()}


def _name(plain: Any) -> str:
    return _text(plain, 1, NAME_BYTES_MAX)


def _value(plain: Any) -> str:
    return _text(plain, 0, LIVE_VALUE_BYTES_MAX)


def _text(plain: Any, shortest: int, longest: int) -> str:
    if type(plain) is not str or not plain.isprintable() or not shortest <= len(plain.encode()) <= longest:
        raise ValueError("text")
    return plain


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
