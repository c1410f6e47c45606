"""How one session lies in a tier: what a node must know to judge it and to file it again, in as few bytes as can be.

Seals nothing and names no time of its own: a tier outlives the clock that sessions here are timed by, so moments are
seconds of wall time. The share group and the settings that must agree aren't in it: whoever opens the seal knows them.
"""

from __future__ import annotations

from math import ceil, floor, inf
from struct import Struct
from typing import NamedTuple, NoReturn

import cbor2

from meshcache.core.cache.entry import Entries
from meshcache.core.policy.gates import Terms
from meshcache.core.values.session import DER_BYTES_MAX, SEQ_MAX, SESSION_ID_BYTES_MAX, Session
from meshcache.core.wire import fields
from meshcache.core.wire.codec import WireError, load_item
from meshcache.core.wire.fields import FieldError
from meshcache.core.wire.messages import Batch

_HEAD = Struct("<IIIQBBBH")
"""Expiry, lineage birth and the session's own in seconds since 1970, sequence number, whether there was a client
certificate, where the id is in the DER and how long it is, how long the origin is."""

_NOT_INSIDE = 255
"""The id isn't within the first bytes of the DER, and stands before it."""

ORIGIN_BYTES_MAX = 4608
"""Three names of 64 bytes, and a reach of 64 colos with names of 64 bytes."""

RECORD_BYTES_MAX = _HEAD.size + ORIGIN_BYTES_MAX + SESSION_ID_BYTES_MAX + DER_BYTES_MAX

_ORIGINS_MAX = 4096
"""Origins kept by their bytes, so that those of a busy stream are read once; forgotten all at once."""


class Border(NamedTuple):
    """Within which sessions resume: a share group, and the digest of the settings (its epoch too) that must agree."""

    group: str
    digest: bytes


class TierRecordError(ValueError):
    """These bytes are no session."""


class Origin(NamedTuple):
    """Who made a session, under which terms, and how old those are."""

    terms: Terms
    incarnation: int
    age: tuple[int, int]


class TierRecord(NamedTuple):
    """One session as it was kept; ids and DERs are secrets, and ``repr`` shows neither."""

    origin: Origin
    seq: int
    session_id: bytes
    der: bytes
    expires_unix: int
    born_unix: int
    made_unix: int
    """Before that it can't have been made: a lifetime that was shortened since counts from here."""
    client_certificate: bool

    def __repr__(self) -> str:
        return f"<TierRecord of {self.origin.terms.node} #{self.seq}>"


def write_origin(origin: Origin) -> bytes:
    """Return the bytes that all records of one stream begin with, as long as its terms are the same."""
    terms = origin.terms
    spread = [terms.copies, terms.push] if terms.copies or not terms.push else []
    told = [terms.node, terms.colo, terms.vip, terms.reach.to_plain(), origin.incarnation, *origin.age]
    return cbor2.dumps([*told, *spread])


def write_record(session: Session, origin: bytes, unix_offset: float, lifetime_s: float) -> bytes:
    """Return a session as a tier keeps it; `unix_offset` is wall time minus the clock of the session's times, and
    `lifetime_s` what its VIP gives to sessions, which says when it can have been made (`SessionCache.shorten`).

    Times are rounded so that it lives no longer, and its lineage is no younger.
    """
    at = session.der.find(session.id)
    inside = 0 <= at < _NOT_INSIDE
    head = _HEAD.pack(
        max(floor(session.expires_at + unix_offset), 0),
        max(floor(session.born_at + unix_offset), 0),
        max(floor(max(session.born_at, session.expires_at - lifetime_s) + unix_offset), 0),
        session.seq,
        session.client_certificate,
        at if inside else _NOT_INSIDE,
        len(session.id),
        len(origin),
    )
    return b"".join((head, origin, b"" if inside else session.id, session.der))


class RecordReader:
    """Reads records; remembers the origins it has read."""

    def __init__(self) -> None:
        self._origins: dict[tuple[Border, bytes], Origin] = {}

    def read(self, record: bytes, border: Border) -> TierRecord:
        """Return what `write_record` wrote, within the border it was sealed for. Raises TierRecordError."""
        if not _HEAD.size < len(record) <= RECORD_BYTES_MAX:
            _refuse()
        expires, born, made, seq, certified, at, id_bytes, origin_bytes = _HEAD.unpack_from(record)
        ends = _HEAD.size + origin_bytes
        rest = record[ends:]
        outside = at == _NOT_INSIDE
        session_id = rest[:id_bytes] if outside else rest[at : at + id_bytes]
        der = rest[id_bytes:] if outside else rest
        if not (0 < id_bytes <= SESSION_ID_BYTES_MAX and len(session_id) == id_bytes):
            _refuse()
        if not (0 < len(der) <= DER_BYTES_MAX and 0 < seq <= SEQ_MAX and certified in (0, 1)):
            _refuse()
        origin = self._origin(record[_HEAD.size : ends], border)
        return TierRecord(origin, seq, session_id, der, expires, born, made, certified == 1)

    def _origin(self, plain: bytes, border: Border) -> Origin:
        known = self._origins.get((border, plain))
        if known is None:
            if len(self._origins) >= _ORIGINS_MAX:
                self._origins.clear()
            known = self._origins[border, plain] = _read_origin(plain, border)
        return known


def batch_of_one_stream(records: list[TierRecord], unix_now: float, lifetime_s: float = inf) -> Batch:
    """Return records of one origin as a batch, as a peer would send them. Whatever is over, or is older than
    `lifetime_s`, has no second left.
    """
    rows = sorted({record.seq: record for record in records}.values(), key=lambda record: record.seq)
    entries = Entries(
        [row.seq for row in rows],
        [row.session_id for row in rows],
        [row.der for row in rows],
        [max(floor(min(row.expires_unix, row.made_unix + lifetime_s) - unix_now), 0) for row in rows],
        [max(ceil(unix_now - row.born_unix), 0) for row in rows],
        [row.client_certificate for row in rows],
    )
    origin = rows[0].origin
    return Batch(origin.terms, origin.incarnation, origin.age, rows[0].seq, rows[-1].seq, entries)


def _read_origin(plain: bytes, border: Border) -> Origin:
    try:
        node, colo, vip, reach, incarnation, lived, revised, *spread = fields.array(load_item(plain), 7, 9)
        terms = fields.terms([node, colo, vip, border.group, border.digest, reach, *spread])
        age = fields.incarnation(lived), fields.revision(revised)
        origin = Origin(terms, fields.incarnation(incarnation), age)
    except (FieldError, WireError) as error:
        raise TierRecordError("origin") from error
    if age[0] < origin.incarnation:
        _refuse()
    return origin


def _refuse() -> NoReturn:
    raise TierRecordError("record")
