"""Keeps live policies in the node's state folder, so that a restart changes nothing: one file, replaced as a whole.

Nothing in it is secret; who can write it can set policies, so only its owner may. What it can't read it sets aside.
A server's workers have a file each, and none is lost when there are more of them or fewer, or one process again: each
reads the others' as it starts (`kept`), and writes its own alone.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from meshcache.config import Settings
from meshcache.core.control.live_policies import ENTRIES_MAX, KEYS_MAX
from meshcache.core.values.topology import NAME_BYTES_MAX, VIPS_MAX
from meshcache.core.wire.messages import LIVE_NUMBER_MAX, LIVE_VALUE_BYTES_MAX, LiveEntry
from meshcache.errors import ConfigError
from meshcache.live_policy.kept import Kept, bounded, concerns, dated, merged, taken_over
from meshcache.runtime import state_file
from meshcache.runtime.state_file import POLICY_FILE, StateFileError

FILE_BYTES_MAX: Final = 4 * 2**20
"""As many entries as there can be, with the longest values, and names that are no secret of ours."""

_FORMAT = 1

_NOTHING = Kept([], {})

log = logging.getLogger("meshcache.policy")


class PolicyFile:
    """The file in one state folder, for one mesh. It, and the folder, are made when there is something to keep."""

    def __init__(
        self,
        state_dir: Path | None,
        mesh: str,
        colo: str = "",
        ours: Collection[tuple[str, str]] = (),
        *,
        of_worker: bool = False,
    ) -> None:
        """Without a folder nothing is kept: after a restart this node knows what its peers tell it.

        What concerns `ours`, VIPs and groups, is taken over first where there is no room for all. A worker's folder is
        in that of its server, beside those of the other workers.
        """
        self.path = None if state_dir is None else state_dir / POLICY_FILE
        self._of_server = state_dir.parent if of_worker and state_dir is not None else state_dir
        self._mesh = mesh
        self._colo = colo
        self._ours = ours
        self._in_file = _NOTHING
        self._told = ""

    @classmethod
    def of(cls, settings: Settings, *, of_worker: bool = False) -> PolicyFile:
        """Return the file of a node with these settings."""
        node = settings.node
        return cls(node.state_dir, settings.mesh.name, node.colo, concerns(settings), of_worker=of_worker)

    def load(self) -> Kept:
        """Return what was kept, by this node and by what else ran as this server; nothing if there is no file. One of
        its own that is broken is set aside, with a line in the log, and so is told what comes from another's file.

        Raises ConfigError when others than the owner can write one of the files, or one or their folder can't be read.
        """
        if self.path is None:
            return _NOTHING
        paths = [self.path, *self._others()]
        written = {
            path: _written_ns(path) for path in paths
        }  # before they are read, so that none seems newer than it is
        found = {path: self._load(path) for path in paths}
        self._in_file = found[self.path]

        def as_dated(path: Path) -> Kept:
            return dated(found[path], (found[other] for other in paths if written[other] <= written[path]))

        kept = as_dated(self.path)
        for path in paths[1:]:
            before, kept = kept, bounded(merged(kept, as_dated(path), self._colo), self._ours)
            for words in taken_over(before, kept):
                log.warning("live policies: taken over from %s: %s", path, words)
        return kept

    def keep(self, kept: Kept) -> bool:
        """Save, and return whether that could be; why not is logged once for as long as it is so."""
        try:
            self.save(kept)
        except OSError as error:
            before, self._told = self._told, error.strerror or str(error)
            if self._told != before:
                log.warning("live policies can't be kept in %s: %s", self.path, self._told)
            return False
        self._told = ""
        return True

    def save(self, kept: Kept) -> None:
        """Replace what is kept, if it isn't that already. Raises OSError, also for what `load` would not take: such a
        file would cost all that is kept. The file is as it was then.
        """
        if self.path is None or kept == self._in_file:
            return
        numbers = {vip: dict(keys) for vip, keys in kept.numbers.items()}
        content = {"format": _FORMAT, "mesh": self._mesh, "live": [list(entry) for entry in kept.live]}
        content |= {"node": kept.node, "node_numbers": numbers}
        text = json.dumps(content, indent=1, ensure_ascii=False)
        try:
            _read(text.encode(), self._mesh)
        except (ValueError, TypeError, LookupError) as error:
            raise OSError(errno.EINVAL, f"a node could not read it again ({error})") from error
        state_file.replace(self.path, text)
        self._in_file = kept

    def highest_number(self) -> int:
        """Return the highest number of a change that other processes of this server have kept, as far as that can be
        read: the server runs, and its own number is known.
        """
        highest = 0
        others: list[Path] = []
        with suppress(ConfigError):
            others = self._others()
        for path in others:
            with suppress(ConfigError):
                highest = max(highest, self._load(path).highest)
        return highest

    def _others(self) -> list[Path]:
        """Return the files of what else ran as this server. Raises ConfigError when that can't be known."""
        if self._of_server is None:
            return []
        try:
            return [path for path in state_file.policy_files(self._of_server) if path != self.path]
        except StateFileError as error:
            raise ConfigError([f"node.state_dir: {error}"]) from None

    def _load(self, path: Path) -> Kept:
        try:
            content = state_file.read(path, FILE_BYTES_MAX)
        except NotADirectoryError:
            return _NOTHING
        except OSError as error:
            raise ConfigError([f"node.state_dir: {path} can't be read: {_reason(error)}"]) from None
        except StateFileError as error:
            raise ConfigError([f"node.state_dir: {error}"]) from None
        if content is None:
            return _NOTHING
        try:
            return _read(content, self._mesh)
        except (ValueError, TypeError, LookupError, RecursionError):
            self._not_understood(path)
            return _NOTHING

    def _not_understood(self, path: Path) -> None:
        """Set the node's own file aside; another's is its owner's to set aside, who may run."""
        if path != self.path:
            log.error("%s can't be understood, and nothing is taken over from it", path)
            return
        aside = path.with_suffix(".broken")
        log.error("%s can't be understood and was set aside as %s; peers tell what they know", path, aside.name)
        path.replace(aside)


def _written_ns(path: Path) -> int:
    """Return when a file was written, by its file system; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(content: bytes, mesh: str) -> Kept:
    """Another mesh's policies are none of ours. Raises ValueError, TypeError or LookupError for what `save` wouldn't
    write."""
    if len(content) > FILE_BYTES_MAX:
        raise ValueError("too long")
    plain = json.loads(content)
    if plain["format"] != _FORMAT or len(plain["live"]) > ENTRIES_MAX or len(plain["node"]) > VIPS_MAX:
        raise ValueError("format")
    if plain["mesh"] != mesh:
        return _NOTHING
    node = {_name(vip): _values(values) for vip, values in plain["node"].items()}
    numbers = _numbers(plain.get("node_numbers", {}))
    return Kept([_entry(entry) for entry in plain["live"]], node, numbers, "node_numbers" not in plain)


def _entry(plain: Any) -> LiveEntry:
    scope, name, key, number, author, value = plain
    return LiveEntry(_name(scope), _name(name), _name(key), _number(number), _name(author), _value(value))


def _numbers(plain: Any) -> dict[str, dict[str, int]]:
    if type(plain) is not dict or len(plain) > VIPS_MAX or any(len(keys) > KEYS_MAX for keys in plain.values()):
        raise ValueError("numbers")
    return {_name(vip): {_name(key): _number(number) for key, number in keys.items()} for vip, keys in plain.items()}


def _number(plain: Any) -> int:
    if type(plain) is not int or not 0 < plain <= LIVE_NUMBER_MAX:
        raise ValueError("number")
    return plain


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
