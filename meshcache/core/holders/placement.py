"""Says which nodes of this colo are to hold a session of which its origin wants so many copies in each colo.

Rendezvous hashing of the session's slot among the nodes that are heard and that the gates permit: whoever knows the
same nodes computes the same holders, and when one comes or goes only its own share moves. Where the origin is in this
colo and lives it is the first of them. Permits nothing: it chooses among those whom `audience` found.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from hashlib import blake2b
from heapq import nlargest
from typing import NamedTuple, TypeVar

from meshcache.core.holders.audience import Audiences
from meshcache.core.policy.gates import Terms
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.served_vips import ServedVips

SLOTS = 4096
"""Sessions are placed by slots, so that who holds one is worked out once for all of a slot. Of 50 nodes each then holds
its share give or take 6 %; all of them take 0.15 s to work out, spread over the sessions that ask."""

_TABLES_MAX = 16
"""Sets of nodes whose slots are remembered; the longest unused is forgotten. A colo has one for each group, and another
one after each change: half of fifty nodes lost one after the other are 25, of 0.8 MB each once all slots were asked."""

_HEIRS = 4
"""Of a session that few may hold, whose terms nobody knows: more than anybody asks."""

_MEMO_MAX = 4096
"""Terms whose candidates are remembered, as in `audience`; the entry keeps the terms alive."""

T = TypeVar("T")


class _HolderTable:
    """The holders of each slot among the same nodes, worked out when first asked for."""

    __slots__ = ("_best", "_names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._best: dict[tuple[int, int], tuple[str, ...]] = {}

    def holders(self, slot: int, copies: int, first: str) -> tuple[str, ...]:
        """Return the names of so many nodes, `first` before all others if one is given."""
        best = self._best.get((slot, copies))
        if best is None:
            if len(self._best) >= 2 * SLOTS:
                self._best.clear()
            best = self._best[slot, copies] = tuple(nlargest(copies, self._names, key=partial(_weight, slot)))
        return (first, *(name for name in best if name != first))[:copies] if first else best


class _Candidates(NamedTuple):
    terms: Terms
    peers: dict[str, Peer]
    table: _HolderTable
    first: str
    copies: int


class Placement:
    """Finds the holders of a session in this colo, and remembers the tables that say so.

    Each session is asked for by the terms it was made under, which are its origin's wherever it is asked.
    """

    def __init__(self, local: LocalNode, vips: ServedVips, members: Members, audiences: Audiences) -> None:
        self._local = local
        self._vips = vips
        self._members = members
        self._audiences = audiences
        self._known: dict[int, _Candidates] = {}
        self._known_for = (-1, -1)
        self._tables: dict[tuple[str, ...], _HolderTable] = {}

    @property
    def tables(self) -> int:
        """Return of how many sets of nodes the holders of slots are remembered."""
        return len(self._tables)

    def holders(self, terms: Terms, session_id: bytes) -> tuple[str, ...]:
        """Return who is to hold a session in this colo, the first first; nobody where its origin pushes to no other
        colo. Fewer than `copies` where there are no more who may have it.
        """
        found = self._candidates(terms)
        return found.table.holders(slot_of(session_id), found.copies, found.first) if found.copies else ()

    def heirs(self, terms: Terms, session_id: bytes) -> tuple[str, ...]:
        """Return who is to hold a session whose origin nobody here knows any more, if it was made under terms like
        these, which are this node's own. Where all are to hold all, those come first who had to when it was few.
        """
        found = self._candidates(terms)
        return found.table.holders(slot_of(session_id), terms.copies or _HEIRS, "")

    def is_mine(self, terms: Terms, session_id: bytes) -> bool:
        """Return whether this node is one of them."""
        return self._local.identity.node in self.holders(terms, session_id)

    def peers(self, terms: Terms, session_id: bytes) -> list[Peer]:
        """Return those of them that are other nodes."""
        known = self._candidates(terms).peers
        return [known[name] for name in self.holders(terms, session_id) if name in known]

    def shares(self, terms: Terms, sessions: Iterable[tuple[bytes, T]]) -> list[tuple[Peer, list[T]]]:
        """Return for each other node what it is to hold of these, given with their ids, in their order."""
        shares: dict[str, tuple[Peer, list[T]]] = {}
        for session_id, session in sessions:
            for peer in self.peers(terms, session_id):
                shares.setdefault(peer.name, (peer, []))[1].append(session)
        return list(shares.values())

    def _candidates(self, terms: Terms) -> _Candidates:
        stamp = self._members.generation, self._vips.record.revision
        if self._known_for != stamp or len(self._known) >= _MEMO_MAX:
            self._known.clear()
            self._known_for = stamp
        found = self._known.get(id(terms))
        if found is None:
            found = self._known[id(terms)] = self._find(terms)
        return found

    def _find(self, terms: Terms) -> _Candidates:
        own = self._local.identity
        near = self._audiences.of_own(terms).inside if terms.node == own.node else self._audiences.of_relayed(terms)
        peers = {peer.name: peer for peer in near}
        ours = terms.node == own.node or bool(self._vips.accept(terms)[0])
        names = tuple(sorted([*peers, *([own.node] if ours else [])]))
        table = self._tables.pop(names, None) or _HolderTable(names)
        self._tables[names] = table
        if len(self._tables) > _TABLES_MAX:
            del self._tables[next(iter(self._tables))]
        inside = terms.colo == own.colo
        first = terms.node if inside and terms.node in names else ""
        return _Candidates(terms, peers, table, first, terms.copies if inside or terms.push else 0)


def slot_of(session_id: bytes) -> int:
    """Return the slot of a session, which is the same on every node."""
    return int.from_bytes(blake2b(session_id, digest_size=2, person=b"mc copies").digest()) % SLOTS


def _weight(slot: int, name: str) -> bytes:
    return blake2b(f"copies {slot}:{name}".encode(), digest_size=8).digest()
