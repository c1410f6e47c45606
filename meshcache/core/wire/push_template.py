"""Writes pushes of what this node makes, which are most of what it sends, from bytes that are the same in all of them.

The general way costs more than everything else about publishing. The bytes are those of `wire.codec.encode`, as a test
shows; sessions that are unusual are left to that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from struct import pack
from typing import NamedTuple

from cbor2 import dumps

from meshcache.core.policy.gates import Terms
from meshcache.core.values.session import SESSION_ID_BYTES_MAX
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.columns import SECONDS_MAX, same_or_numbers
from meshcache.core.wire.fields import plain_terms
from meshcache.core.wire.kinds import KINDS
from meshcache.core.wire.messages import Push


class NewSession(NamedTuple):
    """A new session on its way out; ``id`` and ``der`` are secrets."""

    seq: int
    id: bytes
    der: bytes
    expires_at: float
    born_at: float
    certified: bool
    made_at: float

    def __repr__(self) -> str:
        return f"<NewSession #{self.seq}>"


new_session: Callable[[tuple[int, bytes, bytes, float, float, bool, float]], NewSession] = partial(
    tuple.__new__, NewSession
)
"""What ``NewSession(...)`` does, without its call of Python's."""


_FIELDS = len("tirflnkzsx")
"""Those that the push of any one session has."""

_MAPS = [bytes((0xA0 + count,)) for count in range(16)]
"""The head of a map with so many fields (RFC 8949 section 3.1)."""

_RELAY, _AGE, _FIRST, _LAST, _DER = b"\x61h\xf5", b"\x61a", b"\x61f", b"\x61l", b"\x61s"
_REMAINING, _ELAPSED = b"\x61x", b"\x61b"
_COUNT_AND_ID = dumps({"n": 1, "k": bytes(SESSION_ID_BYTES_MAX)})[1:-SESSION_ID_BYTES_MAX]
_DER_WIDTH = dumps({"z": bytes(2)})[1:-2]


def envelope_of(sender: str, incarnation: int) -> bytes:
    """Return the bytes with which every push of a node begins, up to the map of its fields."""
    return b"\x84" + dumps(KINDS[Push][0]) + dumps(sender) + dumps(incarnation)


def head_of(terms: Terms, incarnation: int, revision: int) -> bytes:
    """Return the fields that say which stream a push is of, as its origin writes them."""
    return dumps({"t": dumps(plain_terms(terms)), "i": incarnation, "r": revision})[1:]


class PushTemplate:
    """Writes pushes of what this node makes under `terms`, while `record` is what it says of itself."""

    __slots__ = ("envelope", "record", "stream", "terms")

    def __init__(self, record: NodeRecord, terms: Terms) -> None:
        self.record = record
        self.terms = terms
        self.envelope = envelope_of(record.node, record.incarnation)
        self.stream = head_of(terms, record.incarnation, record.revision)
        """What comes before the map of fields, and first in it, but for how old a push is."""

    @staticmethod
    def suits(made: NewSession) -> bool:
        """Return whether a session is a usual one: its id has full length, and there was no client certificate."""
        return len(made.id) == SESSION_ID_BYTES_MAX and not made.certified

    @staticmethod
    def suits_all(made: Sequence[NewSession]) -> bool:
        """Return whether these are usual ones that follow on one another."""
        return made[-1].seq - made[0].seq == len(made) - 1 and not [
            None for each in made if len(each.id) != SESSION_ID_BYTES_MAX or each.certified
        ]

    def write_all(self, made: Sequence[NewSession], now: float, age_us: int, *, relay: bool) -> bytes:
        """Return the message that pushes several sessions."""
        elapsed_s = [max(round(now - each.born_at), 0) for each in made]
        remaining_s = [max(int(each.expires_at - now), 0) for each in made]
        lengths = pack(f">{len(made)}H", *[len(each.der) for each in made])
        some = any(elapsed_s)
        return b"".join(
            (
                self.envelope,
                _MAPS[_FIELDS + relay + (age_us > 0) + some],
                _RELAY if relay else b"",
                _AGE + dumps(age_us) if age_us else b"",
                self.stream,
                _FIRST,
                dumps(made[0].seq),
                _LAST,
                dumps(made[-1].seq),
                dumps({"n": len(made), "k": b"".join([each.id for each in made]), "z": lengths})[1:],
                _DER,
                dumps(b"".join([each.der for each in made])),
                _REMAINING,
                dumps(same_or_numbers(remaining_s)),
                _ELAPSED + dumps(same_or_numbers(elapsed_s)) if some else b"",
            )
        )

    def write(self, made: NewSession, now: float, age_us: int, *, relay: bool) -> bytes:
        """Return the message that pushes this one session."""
        seq, der = dumps(made.seq), made.der
        elapsed_s, remaining_s = round(now - made.born_at), int(made.expires_at - now)
        return b"".join(
            (
                self.envelope,
                _MAPS[_FIELDS + relay + (age_us > 0) + (elapsed_s > 0)],
                _RELAY if relay else b"",
                _AGE + dumps(age_us) if age_us else b"",
                self.stream,
                _FIRST,
                seq,
                _LAST,
                seq,
                _COUNT_AND_ID,
                made.id,
                _DER_WIDTH,
                len(der).to_bytes(2, "big"),
                _DER,
                dumps(der),
                _REMAINING,
                dumps(min(max(remaining_s, 0), SECONDS_MAX)),
                _ELAPSED + dumps(min(elapsed_s, SECONDS_MAX)) if elapsed_s > 0 else b"",
            )
        )
