"""Finds the cached entries of one stream by sequence number, for repair and snapshots, at eight bytes an entry.

Holds the ids of entries that are in the cache and of no others: the cache tells it of every entry that goes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, Protocol, TypeAlias, cast, overload

SPAN_MAX = 1 << 18
"""Distance between the lowest and the highest number kept: 2 MB of slots. Bounds memory whatever a peer claims. What
falls out stays in the cache and resumes, but this node can't repair it for others any more, and doesn't say that it
has all."""

SPARSE_MAX = 64
"""Slots for each entry that is here, beyond the first thousand: 512 bytes. So one busy old session, or numbers that a
peer scatters on purpose, never hold a span of megabytes."""

NAME_BYTES = 8
"""Of an id's name, where a journal has names."""

_NAME = Struct("=Q")

_SPAN_MIN = 1024

_GROWTH = 1024
"""Slots made at a time below the lowest number: a snapshot that comes newest first moves the list once in 1,024."""


_Slot: TypeAlias = Any
"""An id, or where there are names the name of one, an integer; None or 0 where no entry is."""


class _Slots(Protocol):
    """What a journal does with its list of ids, or its array of names."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: int) -> _Slot: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[_Slot]: ...
    @overload
    def __setitem__(self, at: int, slot: _Slot) -> None: ...
    @overload
    def __setitem__(self, at: slice, slots: Sequence[_Slot]) -> None: ...
    def __delitem__(self, at: slice) -> None: ...
    def append(self, slot: _Slot, /) -> None: ...
    def extend(self, slots: Iterable[_Slot], /) -> None: ...
    def frombytes(self, names: bytes, /) -> None:
        """Add names as they lie in memory; only an array can."""


class NamedIds(Sequence[bytes]):
    """Ids of entries whose numbers follow on one another, as names: an id is made of one where somebody asks for it.

    Whoever asks after an entry has gone gets an empty id, which no entry has.
    """

    __slots__ = ("_id_of", "first", "names")

    def __init__(self, names: bytes, first: int, id_of: Callable[[int, int], bytes | None]) -> None:
        self.names, self.first, self._id_of = names, first, id_of

    def __len__(self) -> int:
        return len(self.names) // NAME_BYTES

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> NamedIds: ...
    def __getitem__(self, at: int | slice) -> bytes | NamedIds:
        places = range(len(self))[at]
        if isinstance(places, range):
            assert places.step == 1, "their numbers follow on one another"
            names = self.names[places.start * NAME_BYTES : places.stop * NAME_BYTES]
            return NamedIds(names, self.first + places.start, self._id_of)
        (name,) = _NAME.unpack_from(self.names, places * NAME_BYTES)
        return self._id_of(name, self.first + places) or b""

    def __repr__(self) -> str:
        return f"<NamedIds: {len(self)} from #{self.first}>"


class Journal:
    """Sequence number -> session id, as a list that slides upwards.

    The list has the ids themselves, or names of eight bytes for them where there are names: an id of its own takes ten
    times as much. An empty slot has neither.
    """

    __slots__ = ("_base", "_empty_head", "_id_of", "_ids", "_name_of", "_room", "count", "lost")

    def __init__(
        self,
        name_of: Callable[[bytes], int] | None = None,
        id_of: Callable[[int, int], bytes | None] | None = None,
    ) -> None:
        """`name_of` makes a name of an id, and `id_of` gives back the id, from the name and the sequence number."""
        self._base = 1
        self._ids = cast("_Slots", [] if name_of is None else array("Q"))
        self._name_of, self._id_of = name_of, id_of
        self._empty_head = 0  # so many slots at the head are known to be empty
        self._room = _SPAN_MIN  # slots that may be filled one after the other before the span is looked at again
        self.count = 0
        self.lost = 0
        """The highest number that fell out, or was too far below to be noted, though its entry is in the cache. What is
        there with a higher one is here too."""

    def __repr__(self) -> str:
        return f"<Journal of {self.count} from #{self._base}>"

    def add(self, seq: int, session_id: bytes) -> None:
        """Note that entry `seq` is in the cache under `session_id`; a number too far below the span is not noted."""
        at = seq - self._base
        if at == len(self._ids) and at < self._room:  # the common case by far: the stream goes on
            self._ids.append(session_id if self._name_of is None else self._name_of(session_id))
            self.count += 1
        else:
            self._add_apart(at, seq, session_id if self._name_of is None else self._name_of(session_id))

    def __contains__(self, seq: int) -> bool:
        at = seq - self._base
        return 0 <= at < len(self._ids) and bool(self._ids[at])

    @property
    def newest(self) -> int:
        """Return the highest number that there is a place for; 0 when there is none."""
        return self._base + len(self._ids) - 1 if len(self._ids) else 0

    @property
    def lowest(self) -> int:
        """Return the lowest number that is here; 0 when none is."""
        return self._base + self._empty_head if self.oldest() is not None else 0

    @property
    def slots(self) -> int:
        """Return how many places of the list are taken, with or without an entry."""
        return len(self._ids)

    def extend(self, first: int, session_ids: Sequence[bytes]) -> None:
        """Note a run of entries, numbered from `first` upwards without a gap."""
        if first - self._base == len(self._ids) and len(self._ids) + len(session_ids) <= self._room:
            self._ids.extend(session_ids if self._name_of is None else map(self._name_of, session_ids))
            self.count += len(session_ids)
            return
        for seq, session_id in enumerate(session_ids, first):
            self.add(seq, session_id)

    def extend_named(self, first: int, names: bytes) -> None:
        """Do the same with names, as they lie in memory, eight bytes each."""
        count = len(names) // NAME_BYTES
        if first - self._base == len(self._ids) and len(self._ids) + count <= self._room:
            self._ids.frombytes(names)
            self.count += count
            return
        for seq, name in enumerate(array("Q", names), first):
            self._add_apart(seq - self._base, seq, name)

    def oldest(self) -> bytes | None:
        """Return the id of the lowest numbered entry that is here."""
        if not self.count:
            return None
        while not self._ids[self._empty_head]:
            self._empty_head += 1
        return self._id_at(self._empty_head)

    def remove(self, seq: int) -> None:
        """Note that entry `seq` has left the cache."""
        at = seq - self._base
        if not 0 <= at < len(self._ids) or not self._ids[at]:
            return
        self._ids[at] = self._empty
        self.count -= 1
        if at == self._empty_head:
            self._trim()

    def between(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Yield the entries numbered `first` to `last` that are here, in order."""
        low = max(first - self._base, 0)
        for at in range(low, min(last - self._base + 1, len(self._ids))):
            session_id = self._id_at(at)
            if session_id is not None:
                yield self._base + at, session_id

    def downwards(self, before: int) -> Iterator[tuple[int, bytes]]:
        """Yield the entries numbered below `before` that are here, newest first."""
        for at in range(min(before - self._base, len(self._ids)) - 1, -1, -1):
            session_id = self._id_at(at)
            if session_id is not None:
                yield self._base + at, session_id

    def newest_runs(self, runs_max: int) -> Iterator[tuple[int, int]]:
        """Yield the runs of numbers that are here, newest first, as first and last; so many at most."""
        last, runs = 0, 0
        for at in range(len(self._ids) - 1, -2, -1):
            if at >= 0 and self._ids[at]:
                last = last or at + self._base
            elif last:
                yield at + 1 + self._base, last
                last, runs = 0, runs + 1
                if runs >= runs_max:
                    return

    @property
    def _empty(self) -> _Slot:
        return None if self._name_of is None else 0

    def _id_at(self, at: int) -> bytes | None:
        found = self._ids[at]
        if self._id_of is None or not found:
            return found or None
        return self._id_of(found, self._base + at)

    def _add_apart(self, at: int, seq: int, slot: _Slot) -> None:
        self._room = min(SPAN_MAX, max(_SPAN_MIN, SPARSE_MAX * (self.count + 1)))
        if at >= self._room:
            self._cut(at + 1 - self._room + self._room // 16)  # more than needed: one move for many additions
        elif at < 0:
            self._make_room_below(seq)
        if not self._ids:
            self._base = seq
        self._note(seq - self._base, slot)

    def _note(self, at: int, slot: _Slot) -> None:
        if at < 0:
            self.lost = max(self.lost, self._base + at)
            return
        self._ids.extend([self._empty] * (at + 1 - len(self._ids)))
        self.count += not self._ids[at]
        self._ids[at] = slot
        self._empty_head = min(self._empty_head, at)

    def _cut(self, slots: int) -> None:
        fallen = sum(map(bool, self._ids[:slots]))
        if fallen:
            self.lost = max(self.lost, self._base + min(slots, len(self._ids)) - 1)
        self.count -= fallen
        del self._ids[:slots]
        self._base += slots
        self._empty_head = max(self._empty_head - slots, 0)
        self._trim()

    def _make_room_below(self, seq: int) -> None:
        free = min(self._room - len(self._ids), self._base - 1)
        needed = self._base - seq
        if needed <= free:
            slots = max(needed, min(_GROWTH, free))
            self._ids[:0] = [None] * slots if self._name_of is None else array("Q", bytes(NAME_BYTES * slots))
            self._base -= slots
            self._empty_head += slots

    def _trim(self) -> None:
        while self._empty_head < len(self._ids) and not self._ids[self._empty_head]:
            self._empty_head += 1
        if self._empty_head == len(self._ids) or self._empty_head >= max(_GROWTH, len(self._ids) // 2):
            del self._ids[: self._empty_head]
            self._base += self._empty_head
            self._empty_head = 0
