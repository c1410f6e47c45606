"""The tier on this machine's disk: one LMDB file, bounded, least recently used out first. Knows sealed values only.

Two databases: ``sessions`` has for each turn, a number that goes up, when the session ends, its key and its value;
``turns`` finds the turn by the key. What is written again gets a new turn, and the lowest goes first when room is
needed. So values are appended, to pages that get full, and whole pages become free at the other end: by their keys,
which are random, pages would be half empty, and each write would touch one of its own.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from itertools import islice, takewhile
from operator import attrgetter
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from meshcache.hooks import TIER_BATCH_MAX, TIER_KEY_BYTES, BeginsEmptyError, Tier, TierEntry, TierError
from meshcache.tiers import lmdb_functions
from meshcache.tiers.disk_check import NAMES
from meshcache.tiers.lmdb_folder import LmdbFolder
from meshcache.tiers.sealed_entries import pack

if TYPE_CHECKING:
    from meshcache.hot import TierFile

FORMAT = b"1"
"""Of the file. One with another is begun anew."""

BYTES_MIN = 16 * 2**20
"""Below that a batch would be a large part of the file."""

FULL = 0.9
"""Of the bound, for pages in use. LMDB needs pages to delete with, and those that a transaction frees can be used two
transactions later; what is free in between has room in the rest."""

MAP = 1.25
"""Of the bound: the map may be larger than the file ever gets, so that LMDB always has room to delete in."""

_EVICT = 256
"""Entries that go at a time, at most: so many pages change in one transaction."""

_ROOM_MIN = 2**20
"""With less left on the file system, whatever fails does so since it is full: LMDB writes up to 256 kB at a time."""

_ROUND_S = 600.0
"""In so long a time every entry is looked at, whether it is over."""

_LOOK_MIN = 2000

_FAULTS = {
    -30797: "page not found: the file is damaged",
    -30796: "a page is corrupted: the file is damaged",
    -30795: "a fatal error, as told before",
    -30792: "the map is full",
    -30788: "the transaction is full",
    -30786: "a page has no room: the file is damaged",
    -30785: "the file was made larger by somebody else",
    -30782: "the transaction must abort",
}
"""What may come of writing (lmdb.h)."""

_HEAD = Struct(f">I{TIER_KEY_BYTES}s")
_TURN = Struct(">Q")
_META = b"meshcache"
"""Beside the names of the two databases: the form of the file, and whose it is."""


P = ParamSpec("P")
R = TypeVar("R")


def _told(method: Callable[P, R]) -> Callable[P, R]:
    """Raise TierError for what LMDB and the system say: they speak of files and pages, and know no secret."""

    @wraps(method)
    def telling(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return method(*arguments, **named)
        except (TierError, ImportError):
            raise
        except OSError as error:
            raise TierError(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}") from error
        except Exception as error:
            if type(error).__module__.partition(".")[0] == "lmdb":
                full = any(isinstance(each, DiskTier) and each.is_out_of_room() for each in arguments)
                # LMDB says "Input/output error" when less was written than it gave.
                raise TierError(f"No space left on device ({error})" if full else str(error)) from error
            raise

    return telling


class DiskTier(Tier):
    """Use `open` first. Every method raises TierError when the disk doesn't do what it should."""

    name = "disk"
    everything = True
    private = True

    def __init__(
        self,
        path: Path,
        bytes_max: int,
        mesh: str,
        *,
        keeps: bool = True,
        clock: Any = time.time,
    ) -> None:
        """`keeps` says that the key outlives the process; else whatever is there at the start is worth nothing."""
        self._folder = LmdbFolder(path)
        self._bytes_max = max(bytes_max, BYTES_MIN)
        self._mesh = mesh.encode()
        self._keeps = keeps
        self._clock = clock
        self._env: Any = None
        self._sessions: Any = None
        self._turns: Any = None
        self._file: TierFile | None = None
        """Writes without the interpreter, where that can be; else this module does, in the same order."""
        self._turn = 0
        self._evicted = 0
        """As `_file` counts them."""
        self._swept = b""
        self._tended_at = 0.0
        self._figures: dict[str, int] = {}
        self._counts: Counter[str] = Counter()

    @_told
    def open(self) -> None:
        """Take the folder, and what is in it if that can be used. Raises BeginsEmptyError once when not."""
        if self._env is not None:
            return
        self._folder.take()
        try:
            why = self._folder.why_not() if self._keeps else ""
            if why is not None:
                self._folder.clear()
            self._begin()
            if not self._fits():
                why = "it is another mesh's, or a newer version's"
                self._begin_anew()
            self._read_turn()
            self._file = lmdb_functions.writer(self._env, self._folder.path, self._turn)
        except BaseException:
            self._let_go()
            raise
        self._note_figures()
        if why:
            self._counts["begun_anew"] += 1
            raise BeginsEmptyError(f"{self._folder.path} begins empty: {why}")

    @_told
    def close(self) -> None:
        """Put everything on the disk. May be called again."""
        env, self._env, self._file = self._env, None, None
        try:
            if env is not None:
                self._folder.end(env)
        finally:
            self._folder.let_go()

    def forked(self) -> None:
        """Let go in a child process: what is open belongs to the parent, and isn't to be closed here."""
        self._env = self._file = None
        self._folder.let_go()

    @_told
    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        env, found, now = self._open_env(), {}, self._clock()
        with env.begin(buffers=True) as reading:
            for key in keys:
                turn = reading.get(key, db=self._turns)
                packed = None if turn is None else reading.get(turn, db=self._sessions)
                if packed is not None and len(packed) >= _HEAD.size and _HEAD.unpack_from(packed)[0] > now:
                    found[key] = bytes(packed[_HEAD.size :])
        return found

    @_told
    def put(self, entries: Sequence[TierEntry]) -> None:
        size = self._batch()
        if self._file is not None:
            now, full = int(self._clock()), int(self._bytes_max * FULL)
            self._done(self._file.write([pack(entries)], len(entries), now, size, full))
            return
        for start in range(0, len(entries), size):
            some = sorted(entries[start : start + size], key=attrgetter("key"))  # neighbours share pages
            self._make_room(2 * len(some))
            with self._open_env().begin(write=True) as writing:
                sessions, turns, now = writing.cursor(self._sessions), writing.cursor(self._turns), int(self._clock())
                for key, value, lasts_s in some:
                    self._turn += 1
                    turn = _TURN.pack(self._turn)
                    before = turns.replace(key, turn)
                    if before is not None:
                        writing.delete(before, db=self._sessions)
                    sessions.put(turn, _HEAD.pack(now + max(int(lasts_s), 0), key) + value, append=True)
        self._note_figures()

    @_told
    def remove(self, keys: Sequence[bytes]) -> None:
        if self._file is not None:
            self._done(self._file.remove(b"".join(keys)))
            return
        with self._open_env().begin(write=True) as writing:
            for key in keys:
                self._remove(writing, key)
        self._note_figures()

    def newest(self, entries_max: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield from the oldest of the newest; reads a few at a time, so that no reader holds pages for long."""
        turn = self._turn_before(entries_max)
        while turn and (rows := self._from(turn)):
            yield from ((key, value) for _, key, value in rows if value)
            turn = _TURN.pack(_TURN.unpack(rows[-1][0])[0] + 1)

    @_told
    def tend(self) -> None:
        env, now = self._open_env(), time.monotonic()
        env.reader_check()
        since_s = min(now - self._tended_at, _ROUND_S)
        self._tended_at = now
        budget = max(_LOOK_MIN, int(self._figures.get("entries", 0) * since_s / _ROUND_S))
        size = self._batch()
        while budget > 0:
            self._drop_expired(min(size, budget))
            budget -= size
        self._note_figures()

    def figures(self) -> Mapping[str, int]:
        return self._figures | dict(self._counts) | {"max_bytes": self._bytes_max}

    @property
    def writes_by(self) -> str:
        """Which path writes: ``c`` or ``python``, as `hot.path` has it."""
        return "python" if self._file is None else "c"

    def is_out_of_room(self) -> bool:
        """Return whether the file system has next to no room left."""
        try:
            place = os.statvfs(self._folder.path)
        except OSError:
            return False
        return place.f_bavail * place.f_frsize < _ROOM_MIN

    # --- the file

    def _open_env(self) -> Any:
        env = self._env
        if env is None:
            raise TierError("it isn't open")
        return env

    def _begin(self) -> None:
        self._env = self._folder.begin(int(self._bytes_max * MAP))
        self._sessions, self._turns = (self._env.open_db(name) for name in NAMES)
        self._tended_at = time.monotonic()
        self._swept = b""

    def _fits(self) -> bool:
        """Return whether the file is of this form and mesh; one that has nothing yet is."""
        with self._env.begin(write=True) as writing:
            told = FORMAT + b" " + self._mesh
            known = writing.get(_META)
            if known is None and not writing.stat(self._sessions)["entries"]:
                writing.put(_META, told)
                return True
            return bool(known == told)

    def _begin_anew(self) -> None:
        env, self._env = self._open_env(), None
        env.close()
        self._folder.clear()
        self._begin()
        self._turn = 0
        self._fits()

    def _done(self, fault: int) -> None:
        """Take what the compiled writer says: nothing, the system's fault or LMDB's own."""
        assert self._file is not None, "it has been asked"
        self._turn, evicted, entries, used, file_bytes = self._file.figures()
        self._counts["evicted"] += evicted - self._evicted
        self._evicted = evicted
        self._figures = {"entries": entries, "bytes": used, "file_bytes": file_bytes}
        if fault:
            import lmdb

            raise lmdb.Error(os.strerror(fault) if fault > 0 else f"LMDB: {_FAULTS.get(fault, fault)}")

    def _let_go(self) -> None:
        env, self._env, self._file = self._env, None, None
        if env is not None:
            with suppress(Exception):
                env.close()
        self._folder.let_go()

    def _read_turn(self) -> None:
        with self._env.begin() as reading:
            sessions = reading.cursor(self._sessions)
            self._turn = _TURN.unpack(sessions.key())[0] if sessions.last() else 0

    # --- room

    def _batch(self) -> int:
        """Return how many entries one transaction may change: each may be on a page of its own in ``turns``."""
        return max(16, min(TIER_BATCH_MAX, int(self._bytes_max * (1 - FULL)) // (4 * 4096)))

    def _note_figures(self) -> None:
        env = self._open_env()
        with env.begin() as reading:
            stats = [reading.stat(self._sessions), reading.stat(self._turns), env.stat()]
        pages = sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
        self._figures = {
            "entries": stats[0]["entries"],
            "bytes": pages * stats[0]["psize"],
            "file_bytes": (env.info()["last_pgno"] + 1) * stats[0]["psize"],
        }

    def _make_room(self, more: int) -> None:
        """Evict the oldest until there is room for so many more pages."""
        page = 4096
        self._note_figures()
        while self._figures["bytes"] + more * page > self._bytes_max * FULL and self._figures["entries"]:
            with self._open_env().begin(write=True) as writing:
                for turn, key in self._oldest(writing, min(_EVICT, self._batch())):
                    if writing.get(key, db=self._turns) == turn:
                        writing.delete(key, db=self._turns)
                    self._counts["evicted"] += writing.delete(turn, db=self._sessions)
            self._note_figures()

    def _oldest(self, reading: Any, count: int) -> list[tuple[bytes, bytes]]:
        """Return the lowest turns and the keys that their rows name. Raises TierError where the first is no row."""
        sessions = reading.cursor(self._sessions)
        some = islice(sessions, count) if sessions.first() else ()
        whole = takewhile(lambda row: len(row[1]) >= _HEAD.size, some)
        found = [(turn, packed[4 : _HEAD.size]) for turn, packed in whole]
        if not found:
            raise TierError(f"LMDB: {_FAULTS[-30796]}")
        return found

    def _remove(self, writing: Any, key: bytes) -> bool:
        turn = writing.pop(key, db=self._turns)
        return turn is not None and bool(writing.delete(turn, db=self._sessions))

    def _drop_expired(self, count: int) -> None:
        """Look at so many, on from where the last look ended."""
        now, over = self._clock(), []
        with self._open_env().begin(buffers=True) as reading:
            sessions = reading.cursor(self._sessions)
            there = sessions.set_range(self._swept) if self._swept else sessions.first()
            for _ in range(count):
                if not there:
                    break
                row = sessions.value()
                if len(row) >= _HEAD.size:  # else it is damaged, and goes with all at the next start
                    expires, key = _HEAD.unpack_from(row)
                    over += [key] * (expires <= now)
                there = sessions.next()
            self._swept = bytes(sessions.key()) if there else b""
        if over:
            with self._open_env().begin(write=True) as writing:
                for key in over:
                    self._counts["expired"] += self._remove(writing, key)

    def _turn_before(self, entries_max: int) -> bytes:
        """Return the turn of the oldest among the newest so many; nothing where there is none."""
        with self._open_env().begin() as reading:
            sessions = reading.cursor(self._sessions)
            turns = islice(sessions.iterprev(values=False), entries_max) if sessions.last() else ()
            return min(turns, default=b"")

    def _from(self, turn: bytes) -> list[tuple[bytes, bytes, bytes]]:
        """Return some entries from a turn on, those left out that are over: turn, key, value."""
        rows, now = [], self._clock()
        with self._open_env().begin() as reading:
            sessions = reading.cursor(self._sessions)
            for each, packed in islice(sessions, TIER_BATCH_MAX) if sessions.set_range(turn) else ():
                expires, key = _HEAD.unpack_from(packed) if len(packed) >= _HEAD.size else (0, b"")
                rows.append((each, key, packed[_HEAD.size :] if expires > now else b""))
        return rows
