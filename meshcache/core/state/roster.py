"""What is known of nodes in other colos by hearsay: each colo's records as a whole, with how fresh they are.

A set of records is replaced by one that was vouched for more recently; its own colo's nodes vouch for it all the time.
Hearsay decides whom to dial and nothing else: what may be sent to a node is judged by its own hello.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from meshcache.core.values.drops import Drop
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.messages import COLOS_KNOWN_MAX, ColoDigest
from meshcache.core.wire.record_size import ROSTER_BYTES_MAX, weight, weight_of

RECALLED_MAX = 6
"""Sets of one colo that are remembered by hash: peers who disagree for a while don't cost a transfer each time."""


@dataclass(frozen=True, slots=True, eq=False)
class _Set:
    """Records in the order of names, and the bytes of memory they take."""

    records: tuple[NodeRecord, ...] = ()
    size: int = 0


@dataclass(slots=True)
class _Colo:
    digest: bytes
    vouched_at: float
    held: _Set = _Set()
    sets: OrderedDict[bytes, _Set] = field(default_factory=OrderedDict)

    @property
    def records(self) -> tuple[NodeRecord, ...]:
        return self.held.records

    @property
    def size(self) -> int:
        """Return the bytes of memory of all sets, each counted once."""
        return sum(each.size for each in {self.held, *self.sets.values()})


class RosterTable:
    """Records by colo. ``generation`` grows with every change of a set; ``drop`` is told what isn't kept."""

    def __init__(self, own_colo: str, records_max: int, drop: Callable[[Drop], object]) -> None:
        self._own_colo = own_colo
        self._records_max = records_max
        self._drop = drop
        self._colos: dict[str, _Colo] = {}
        self._index: dict[str, NodeRecord] = {}
        self._indexed_at = -1
        self.generation = 0

    def __len__(self) -> int:
        return sum(len(colo.records) for colo in self._colos.values())

    def __iter__(self) -> Iterator[NodeRecord]:
        return (record for colo in self._colos.values() for record in colo.records)

    def colos(self) -> list[str]:
        """Return the other colos that are known, ordered by name."""
        return list(self._colos)

    def records(self, colo: str) -> tuple[NodeRecord, ...]:
        """Return the records known of one colo, ordered by name."""
        known = self._colos.get(colo)
        return known.records if known else ()

    def vouched_s(self, colo: str, now: float) -> int:
        """Return how many seconds ago a node of that colo vouched for its records."""
        return int(now - self._colos[colo].vouched_at)

    def weight_of(self, colo: str) -> int:
        """Return the bytes of memory that a colo's sets take, the remembered ones included."""
        return self._colos[colo].size

    def sets_of(self, colo: str) -> int:
        """Return how many sets of a colo are remembered."""
        return len(self._colos[colo].sets)

    def find(self, node: str) -> NodeRecord | None:
        """Return a node's record, in whichever colo it is; the newest, should two colos have it."""
        if self._indexed_at != self.generation:
            self._index = {record.node: record for record in sorted(self, key=lambda record: record.age)}
            self._indexed_at = self.generation
        return self._index.get(node)

    def digests(self, now: float) -> list[ColoDigest]:
        """Return what a digest says of the other colos."""
        return [ColoDigest(colo, known.digest, self.vouched_s(colo, now)) for colo, known in self._colos.items()]

    def compare(self, told: ColoDigest, now: float) -> bool:
        """Note what a peer knows. Return True when its set is fresher, differs, and has to be asked for."""
        known = self._colos.get(told.colo)
        if known is None:
            return len(self._colos) < COLOS_KNOWN_MAX
        vouched_at = now - told.age_s
        if told.digest == known.digest:
            known.vouched_at = max(known.vouched_at, vouched_at)
            return False
        if vouched_at <= known.vouched_at:
            return False
        if told.digest in known.sets:
            if self._has_room(known, known.sets[told.digest]):
                self._adopt(known, told.digest, vouched_at)
            return False
        return True

    def learn(
        self, colo: str, told: Iterable[NodeRecord], linked: Iterable[NodeRecord], age_s: int, now: float
    ) -> bool:
        """Take over a colo's set that a peer gave, with those of its nodes that are linked here, whoever knows them.

        False when it is older than ours or doesn't fit.
        """
        known = self._colos.get(colo)
        vouched_at = now - age_s
        told = _in_order(record for record in told if record.colo == colo)
        fresh = _in_order((*told, *linked))
        if colo == self._own_colo or (known is not None and vouched_at <= known.vouched_at):
            return False
        found = _Set(fresh, weight_of(fresh))
        if not self._has_room(known, found):
            return False
        if known is None:
            self._colos[colo] = known = _Colo(b"", vouched_at - 1)
            self._colos = dict(sorted(self._colos.items()))
        known.sets[digest_of(told)] = found
        self._adopt(known, digest_of(told), vouched_at)
        return True

    def note(self, record: NodeRecord, age_s: int, now: float) -> None:
        """A node of another colo spoke for itself: its record replaces the older one in its colo's set.

        The first of its colo makes a set that counts as `age_s` old, so that anybody's whole set replaces it.
        """
        known = self._colos.get(record.colo)
        if known is None:
            self.learn(record.colo, (record,), (), age_s, now)
            return
        old = self.find(record.node)
        if old is not None and old.colo == record.colo and old.age >= record.age:
            return
        others = [other for other in known.records if other.node != record.node]
        gone = [other for other in known.records if other.node == record.node]
        records = tuple(sorted([*others, record], key=lambda other: other.node))
        found = _Set(records, known.held.size + weight(record) - weight_of(gone))
        if self._has_room(known, found):
            digest = digest_of(records)
            known.sets[digest] = found
            self._adopt(known, digest, known.vouched_at)

    def ask_anew(self, colo: str) -> None:
        """Ask for a colo's set again when somebody has another one, also one that was told before: those that are
        remembered have records of nodes that were linked then, whatever their colo says of them.
        """
        known = self._colos.get(colo)
        if known is not None:
            known.sets = OrderedDict({known.digest: known.held})

    def expire(self, now: float, forget_s: float) -> None:
        """Forget colos that nobody has vouched for in so long."""
        for colo in [colo for colo, known in self._colos.items() if now - known.vouched_at > forget_s]:
            del self._colos[colo]
            self.generation += 1

    def _has_room(self, known: _Colo | None, found: _Set) -> bool:
        """Return whether a set fits in place of the one that is known of its colo;
        what is only remembered makes room.
        """
        others = [colo.held for colo in self._colos.values() if colo is not known]
        many = sum(len(each.records) for each in others) + len(found.records) > self._records_max
        if many or (known is None and len(self._colos) >= COLOS_KNOWN_MAX):
            self._drop(Drop.ROSTER_FULL)
            return False
        if sum(each.size for each in others) + found.size > ROSTER_BYTES_MAX:
            self._drop(Drop.TOO_HEAVY)
            return False
        return True

    def _adopt(self, known: _Colo, told: bytes, vouched_at: float) -> None:
        """Hold the set that came under the hash `told`; with who is linked here it may have another hash."""
        known.held, known.vouched_at = known.sets[told], vouched_at
        known.digest = digest_of(known.records)
        known.sets[known.digest] = known.held
        known.sets.move_to_end(told)
        while len(known.sets) > RECALLED_MAX:
            known.sets.popitem(last=False)
        if sum(colo.size for colo in self._colos.values()) > ROSTER_BYTES_MAX:
            self._forget_past()
        self.generation += 1

    def _forget_past(self) -> None:
        for colo in self._colos.values():
            colo.sets = OrderedDict({colo.digest: colo.held})


def _in_order(records: Iterable[NodeRecord]) -> tuple[NodeRecord, ...]:
    """Return each node once, ordered by name, with the newest that is said of it."""
    newest: dict[str, NodeRecord] = {}
    for record in records:
        known = newest.get(record.node)
        if known is None or known.age < record.age:
            newest[record.node] = record
    return tuple(newest[node] for node in sorted(newest))


def digest_of(records: Iterable[NodeRecord]) -> bytes:
    """Return eight bytes that are equal when two nodes know the same of a colo. Records are ordered by name."""
    digest = blake2b(digest_size=8)
    for record in records:
        digest.update(f"{len(record.node)}:{record.node}{record.incarnation},{record.revision};".encode())
    return digest.digest()
