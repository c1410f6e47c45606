"""The protocol as a table: for each kind of message its number, and for each field its key, reader and default.

`docs/protocol.md` is this table in words. A number or key that was used is never given to anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cbor2

from meshcache.core.policy.gates import Terms
from meshcache.core.values.session_id import ID_BYTES
from meshcache.core.values.ticket_key import GENERATION_MAX, NAME_BYTES, RING_BYTES, SECRET_BYTES
from meshcache.core.values.topology import VIPS_MAX
from meshcache.core.wire import fields, messages, queries, single_use, ticket_messages
from meshcache.core.wire.columns import write_columns
from meshcache.core.wire.fields import FieldError
from meshcache.core.wire.messages import Batch, ColoDigest, FetchEnd, LiveEntry, Message
from meshcache.core.wire.queries import HELD_BYTES_MAX, HELD_MAX, Figures, QueryKind
from meshcache.core.wire.ticket_messages import HeldKey, RingStatus, ToldKey

_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message: ``attribute`` in Python, ``key`` on the wire, left out when it has its default."""

    key: str
    attribute: str
    read: Callable[[Any], Any]
    default: Any = _REQUIRED
    write: Callable[[Any], Any] = lambda value: value


class Spec:
    """A kind of message."""

    def __init__(self, make: Callable[..., Message], *columns: Field, batch: bool = False) -> None:
        self.make = make
        self._fields = columns
        self._batch = batch
        self.keys = frozenset(column.key for column in columns) | (_BATCH_KEYS if batch else frozenset())

    def read(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that make the message. Raises FieldError."""
        values = {}
        for column in self._fields:
            value = body.get(column.key, _REQUIRED)
            if value is not _REQUIRED:
                values[column.attribute] = column.read(value)
            elif column.default is _REQUIRED:
                raise FieldError(column.attribute)
            else:
                values[column.attribute] = column.default
        return values

    def write(self, message: Any) -> dict[str, Any]:
        """Return the body of the message, as CBOR takes it."""
        body: dict[str, Any] = {}
        for column in self._fields:
            value = getattr(message, column.attribute)
            if value != column.default:
                body[column.key] = column.write(value)
        if self._batch and message.batch is not None:
            body.update(_plain_batch(message.batch))
        return body


_BATCH_KEYS = frozenset("tiurflnowkzsxbc")


_TERMS_MAX = 1024
"""Encoded terms remembered; all are forgotten at once. Keyed by `id(terms)`; the entry keeps the terms alive so that
the id can't be reused. They are half of what encoding a batch of one session costs, and change with a policy only."""

_encoded_terms: dict[int, tuple[Terms, bytes]] = {}


def _plain_batch(batch: Batch) -> dict[str, Any]:
    terms = _terms_bytes(batch.terms)
    head = {"t": terms, "i": batch.incarnation, "r": batch.age[1], "f": batch.first, "l": batch.last}
    if batch.age[0] != batch.incarnation:
        head["u"] = batch.age[0]
    head.update(write_columns(batch.first, batch.last, batch.entries))
    return head


def _terms_bytes(terms: Terms) -> bytes:
    known = _encoded_terms.get(id(terms))
    if known is None:
        if len(_encoded_terms) >= _TERMS_MAX:
            _encoded_terms.clear()
        known = _encoded_terms[id(terms)] = (terms, cbor2.dumps(fields.plain_terms(terms)))
    return known[1]


def _majors(value: Any) -> tuple[int, int]:
    low, high = map(fields.uint(255), fields.array(value, 2)[:2])
    if low > high:
        raise FieldError("versions")
    return low, high


def _end(value: Any) -> FetchEnd:
    try:
        return FetchEnd(value)
    except ValueError as error:
        raise FieldError("end") from error


def _colo_digest(value: Any) -> ColoDigest:
    colo, digest, age_s = fields.array(value, 3)[:3]
    return ColoDigest(fields.name(colo), _HASH(digest), fields.seconds(age_s))


def _live_entry(value: Any) -> LiveEntry:
    scope, name, key, number, author, text = fields.array(value, 6)[:6]
    said = _LIVE_VALUE(text)
    return LiveEntry(
        fields.name(scope), fields.name(name), fields.name(key), _LIVE_NUMBER(number), fields.name(author), said
    )


def _matter(value: Any) -> QueryKind:
    try:
        return QueryKind(value)
    except ValueError as error:
        raise FieldError("matter") from error


def _figures(value: Any) -> Figures:
    vip, *counts = fields.array(value, 6)[:6]
    return Figures(fields.name(vip), *map(fields.seq, counts))


def _told_key(value: Any) -> ToldKey:
    generation, secret, age_ms, rotate_s, lifetime_s = fields.array(value, 5)[:5]
    return ToldKey(
        _GENERATION(generation), _SECRET(secret), _AGE_MS(age_ms), fields.seconds(rotate_s), fields.seconds(lifetime_s)
    )


def _plain_keys(keys: tuple[ToldKey, ...]) -> list[Any]:
    return [[key.generation, key.secret, key.age_ms, key.rotate_s, key.lifetime_s] for key in keys]


def _held_key(value: Any) -> HeldKey:
    generation, name, age_ms = fields.array(value, 3)[:3]
    return HeldKey(_GENERATION(generation), _KEY_NAME(name), _AGE_MS(age_ms))


def _ring_status(value: Any) -> RingStatus:
    ring, held, spread = fields.array(value, 3)[:3]
    return RingStatus(_RING(ring), _HELD(held), _KEY_NAME_OR_NONE(spread))


def _plain_statuses(rings: tuple[RingStatus, ...]) -> list[Any]:
    return [[status.ring, _rows(status.held), status.spread] for status in rings]


def _pairs(value: Any) -> tuple[tuple[int, int], ...]:
    flat = fields.ranges(messages.FETCH_RANGES_MAX)(value)
    if not flat:
        raise FieldError("ranges")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _flat(pairs: tuple[tuple[int, int], ...]) -> list[int]:
    return [number for pair in pairs for number in pair]


def _rows(values: tuple[tuple[Any, ...], ...]) -> list[list[Any]]:
    return [list(value) for value in values]


def _plain_seen(values: tuple[messages.Seen, ...]) -> list[Any]:
    return [fields.plain_seen(value) for value in values]


def _plain_records(values: tuple[Any, ...]) -> list[Any]:
    return [fields.plain_record(value) for value in values]


_HASH = fields.octets(8, 8)
_LIVE_VALUE = fields.text(0, messages.LIVE_VALUE_BYTES_MAX)
_LIVE_NUMBER = fields.uint(messages.LIVE_NUMBER_MAX)
_SEEN = fields.items(fields.seen, messages.VECTOR_ENTRIES_MAX)
_RING = fields.octets(RING_BYTES, RING_BYTES)
_SECRET = fields.octets(SECRET_BYTES, SECRET_BYTES)
_KEY_NAME = fields.octets(NAME_BYTES, NAME_BYTES)
_KEY_NAME_OR_NONE = fields.octets(0, NAME_BYTES)
_GENERATION = fields.uint(GENERATION_MAX)
_AGE_MS = fields.uint(ticket_messages.AGE_MS_MAX)
_HELD = fields.items(_held_key, ticket_messages.KEYS_MAX)
_TOKEN = Field("q", "token", fields.token)
_GROUP, _RELAY = Field("g", "group", fields.name), Field("h", "relay", fields.flag, default=False)
_CONSUMED_IDS = Field("k", "ids", fields.items(fields.octets(1, 32), single_use.CONSUMED_IDS_MAX), write=list)
_TELLER = Field("o", "teller", fields.name, default="")
_MASK = fields.uint((1 << messages.BUCKETS) - 1)
_DIGEST_BYTES = messages.BUCKETS * messages.BUCKET_BYTES

KINDS: dict[type[Message], tuple[int, Spec]] = {
    messages.Hello: (
        1,
        Spec(
            messages.Hello,
            Field("v", "majors", _majors, write=list),
            Field("n", "minor", fields.uint(255)),
            Field("m", "mesh", fields.name),
            Field("e", "record", fields.record, write=fields.plain_record),
            Field("d", "dialled", fields.address_or_none, ""),
            Field("a", "answers", fields.address_or_none, ""),
            Field("k", "knows", fields.revision, 0),
            Field("c", "chosen", fields.flag, default=True),
            Field("j", "joining", fields.flag, default=False),
            Field("i", "incarnation", fields.incarnation, 0),
        ),
    ),
    messages.Heartbeat: (
        2,
        Spec(
            messages.Heartbeat,
            Field("n", "count", fields.uint((1 << 32) - 1)),
            Field("r", "revision", fields.revision),
            Field("k", "knows", fields.revision),
            Field("v", "newest", fields.items(fields.seq, VIPS_MAX), (), write=list),
            Field("c", "chosen", fields.flag, default=True),
            Field("j", "joining", fields.flag, default=False),
        ),
    ),
    messages.Ping: (3, Spec(messages.Ping, _TOKEN)),
    messages.Pong: (4, Spec(messages.Pong, _TOKEN, Field("c", "clock_ms", fields.uint(messages.CLOCK_MS_MAX), 0))),
    messages.Leave: (5, Spec(messages.Leave)),
    messages.Refuse: (
        6,
        Spec(
            messages.Refuse,
            Field("y", "reason", fields.name),
            Field("i", "incarnation", fields.incarnation, 0),
            Field("a", "address", fields.address_or_none, ""),
        ),
    ),
    messages.Push: (
        7,
        Spec(messages.Push, _RELAY, Field("a", "age_us", fields.seconds, 0), batch=True),
    ),
    messages.Fetch: (
        8,
        Spec(
            messages.Fetch,
            _TOKEN,
            Field("p", "key", fields.stream_key, write=list),
            Field("g", "ranges", _pairs, write=_flat),
            Field("j", "snapshot", fields.flag, default=False),
        ),
    ),
    messages.FetchReply: (
        9,
        Spec(
            messages.FetchReply,
            Field("q", "token", fields.token),
            Field("y", "end", _end, None, lambda end: end.value),
            batch=True,
        ),
    ),
    messages.Digest: (
        10,
        Spec(
            messages.Digest,
            Field("b", "buckets", fields.octets(_DIGEST_BYTES, _DIGEST_BYTES)),
            Field("c", "colos", fields.items(_colo_digest, messages.COLOS_KNOWN_MAX), (), write=_rows),
            Field("w", "withdraws", fields.octets(0, 8), b""),
            Field("l", "live", fields.octets(0, 8), b""),
            Field("y", "answer", fields.flag, default=False),
        ),
    ),
    messages.Vector: (
        11,
        Spec(
            messages.Vector,
            Field("b", "buckets", _MASK),
            Field("e", "seen", _SEEN, (), write=_plain_seen),
            Field("w", "wants_reply", fields.flag, default=False),
        ),
    ),
    messages.SnapshotAsk: (12, Spec(messages.SnapshotAsk, Field("y", "done", fields.flag, default=False))),
    messages.SnapshotOffer: (
        13,
        Spec(
            messages.SnapshotOffer,
            Field("y", "granted", fields.flag),
            Field("e", "seen", _SEEN, (), write=_plain_seen),
            Field("h", "more", fields.flag, default=False),
        ),
    ),
    messages.RosterAsk: (
        14,
        Spec(messages.RosterAsk, Field("c", "colos", fields.items(fields.name, messages.COLOS_KNOWN_MAX), write=list)),
    ),
    messages.Roster: (
        15,
        Spec(
            messages.Roster,
            Field("c", "colo", fields.name),
            Field("a", "age_s", fields.seconds),
            Field("e", "records", fields.items(fields.record, messages.ROSTER_RECORDS_MAX), write=_plain_records),
            Field("p", "page", fields.uint(messages.ROSTER_PAGES_MAX - 1), 0),
            Field("z", "pages", fields.uint(messages.ROSTER_PAGES_MAX), 1),
        ),
    ),
    messages.Withdraw: (
        16,
        Spec(
            messages.Withdraw,
            Field("o", "issuer", fields.name),
            Field("i", "incarnation", fields.incarnation),
            Field("n", "number", fields.seconds),
            Field("a", "elapsed_s", fields.seconds),
            Field("l", "remaining_s", fields.seconds),
            Field("p", "vip", fields.name, ""),
            Field("g", "group", fields.name, ""),
            Field("s", "origin", fields.name, ""),
            Field("k", "ids", fields.items(fields.octets(1, 32), messages.WITHDRAW_IDS_MAX), (), write=list),
        ),
    ),
    messages.LivePolicyUpdate: (
        17,
        Spec(
            messages.LivePolicyUpdate,
            Field("e", "entries", fields.items(_live_entry, messages.LIVE_ENTRIES_MAX), write=_rows),
        ),
    ),
    queries.Query: (
        18,
        Spec(
            queries.Query,
            Field("o", "asker", fields.name),
            Field("i", "incarnation", fields.incarnation),
            Field("q", "token", fields.token),
            Field("y", "matter", _matter, write=lambda matter: matter.value),
            Field("n", "number", _LIVE_NUMBER),
            Field("p", "name", fields.name_or_none, ""),
            Field("a", "elapsed_s", fields.seconds, 0),
            Field("d", "digest", fields.octets(0, 8), b""),
        ),
    ),
    queries.QueryReply: (
        19,
        Spec(
            queries.QueryReply,
            Field("o", "asker", fields.name),
            Field("q", "token", fields.token),
            Field("s", "node", fields.name),
            Field("y", "has", fields.flag),
            Field("k", "sessions", fields.seconds, 0),
            Field("c", "unix_ms", _LIVE_NUMBER, 0),
            Field("l", "colo", fields.name_or_none, ""),
            Field("f", "figures", fields.items(_figures, VIPS_MAX), (), write=_rows),
            Field("w", "held", fields.items(fields.text(1, HELD_BYTES_MAX), HELD_MAX), (), write=list),
        ),
    ),
    ticket_messages.TicketKeys: (
        20,
        Spec(
            ticket_messages.TicketKeys,
            Field("r", "ring", _RING),
            Field("k", "keys", fields.items(_told_key, ticket_messages.KEYS_MAX), write=_plain_keys),
        ),
    ),
    ticket_messages.TicketStatus: (
        21,
        Spec(
            ticket_messages.TicketStatus,
            Field("r", "rings", fields.items(_ring_status, ticket_messages.RINGS_MAX), write=_plain_statuses),
        ),
    ),
    messages.Pull: (
        22,
        Spec(
            messages.Pull,
            _TOKEN,
            Field("v", "vip", fields.name),
            Field("i", "id", fields.octets(ID_BYTES, ID_BYTES)),
        ),
    ),
    messages.PullReply: (23, Spec(messages.PullReply, _TOKEN, batch=True)),
    messages.Holding: (
        24,
        Spec(
            messages.Holding,
            Field("e", "held", fields.items(fields.held, messages.HELD_STREAMS_MAX), write=fields.plain_held),
        ),
    ),
    single_use.Consumed: (25, Spec(single_use.Consumed, _GROUP, _CONSUMED_IDS, _RELAY, _TELLER)),
}
