"""Reads the single fields of messages: each function takes what CBOR gave and returns a valid value or raises.

Knows types, lengths and characters; what the values mean together is `wire`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any, TypeVar

from meshcache.core.policy.digest_parts import PARTS_BYTES_MAX
from meshcache.core.policy.gates import COPIES_MAX, Reach, Terms
from meshcache.core.policy.scope import CONTEXT_BYTES
from meshcache.core.values.session import SEQ_MAX, StreamKey
from meshcache.core.values.topology import (
    ADDRESS_BYTES_MAX,
    INCARNATION_MAX,
    NAME_BYTES_MAX,
    VERSION_BYTES_MAX,
    VIPS_MAX,
    NodeRecord,
    VipNote,
)
from meshcache.core.wire.messages import HELD_SEQS_MAX, VECTOR_RANGES_MAX, Held, Seen

T = TypeVar("T")


class FieldError(ValueError):
    """A field has another type, length or range than the protocol says; the message is dropped."""


def uint(maximum: int) -> Callable[[Any], int]:
    """Return a reader of integers from 0 to `maximum`."""

    def read(value: Any) -> int:
        if type(value) is not int or not 0 <= value <= maximum:
            raise FieldError("number")
        return value

    return read


def flag(value: Any) -> bool:
    """Return true or false, which it has to be."""
    if type(value) is not bool:
        raise FieldError("flag")
    return value


def octets(shortest: int, longest: int) -> Callable[[Any], bytes]:
    """Return a reader of byte strings of these lengths."""

    def read(value: Any) -> bytes:
        if type(value) is not bytes or not shortest <= len(value) <= longest:
            raise FieldError("bytes")
        return value

    return read


def text(shortest: int, longest: int) -> Callable[[Any], str]:
    """Return a reader of text of so many bytes in UTF-8, without what could disturb a log or a terminal."""

    def read(value: Any) -> str:
        if type(value) is not str or not shortest <= len(value) <= longest or not value.isprintable():
            raise FieldError("text")
        if len(value.encode()) > longest:
            raise FieldError("text")
        return value

    return read


def items(reader: Callable[[Any], T], longest: int) -> Callable[[Any], tuple[T, ...]]:
    """Return a reader of arrays of up to `longest` of what `reader` reads."""

    def read(value: Any) -> tuple[T, ...]:
        return tuple(map(reader, array(value, 0, longest)))

    return read


def array(value: Any, shortest: int, longest: int | None = None) -> list[Any]:
    """Return an array of these lengths; without `longest`, of more elements too,
    which a newer minor version may add.
    """
    if type(value) is not list or len(value) < shortest or (longest is not None and len(value) > longest):
        raise FieldError("array")
    return value


name = text(1, NAME_BYTES_MAX)
name_or_none = text(0, NAME_BYTES_MAX)
incarnation = uint(INCARNATION_MAX)
revision = uint((1 << 32) - 1)
seq = uint(SEQ_MAX)
seconds = uint((1 << 32) - 1)
milliseconds = uint((1 << 32) - 1)
token = uint((1 << 32) - 1)
_copies = uint(COPIES_MAX)
_digest = octets(CONTEXT_BYTES, CONTEXT_BYTES)
_version = text(0, VERSION_BYTES_MAX)
_parts = octets(0, PARTS_BYTES_MAX)
_note_digest = octets(0, 8)
_any_address = text(0, ADDRESS_BYTES_MAX)


def address(value: Any) -> str:
    """Return a ``host:port``."""
    host, colon, port = _any_address(value).rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536) or _odd(host):
        raise FieldError("address")
    return str(value)


def address_or_none(value: Any) -> str:
    """Return a ``host:port``, or nothing."""
    return "" if value == "" else address(value)


def _odd(host: str) -> bool:
    inner = host[1:-1] if host[0] == "[" and host[-1] == "]" else host
    bare = inner.replace(":", "") if inner is not host else inner
    return not bare or not all(c.isalnum() or c in "-._%" for c in bare) or not bare.isascii()


def reach(value: Any) -> Reach:
    """Return a reach in its plain form; colos in it are names like all others."""
    if type(value) is list:
        value = [name(colo) for colo in array(value, 1, 64)]
    try:
        return Reach.parse(value)
    except ValueError as error:
        raise FieldError("reach") from error


def terms(value: Any) -> Terms:
    """Return the terms of any node, as they travel with a batch."""
    node, colo, vip, group, digest, plain, *more = array(value, 6)[:8]
    return Terms(name(node), name(colo), name(vip), name(group), _digest(digest), reach(plain), *_spread(more))


def record(value: Any) -> NodeRecord:
    """Return a node's record; its VIPs are in order and none comes twice. Equal reaches are kept once."""
    node, born, colo, where, changed, vips, version, *more = array(value, 7)[:8]
    node, colo = name(node), name(colo)
    reaches: dict[Reach, Reach] = {}
    served = tuple(_vip(node, colo, vip, reaches) for vip in array(vips, 0, VIPS_MAX))
    names = [vip.vip for vip in served]
    if names != sorted(set(names)):
        raise FieldError("VIPs")
    notes = tuple(_note(note) for note in array(more[0], len(served), len(served))) if more else ()
    where, version = address(where), _version(version)
    return NodeRecord(node, incarnation(born), colo, where, revision(changed), served, version, notes)


def _note(value: Any) -> VipNote:
    parts, number, digest, *more = array(value, 3)[:7]
    tickets, both = [*map(flag, more[:2]), False, False][:2]
    awaits_ms = milliseconds(more[2]) if len(more) > 2 else 0
    fetches = flag(more[3]) if len(more) > 3 else False
    told = _parts(parts), seq(number), _note_digest(digest)
    return VipNote(*told, tickets=tickets, both=both, awaits_ms=awaits_ms, fetches=fetches)


def _rest(note: VipNote) -> list[bool | int]:
    """Return as few elements as tell it: what is left off is false, or nothing."""
    both = note.tickets and note.both
    if note.awaits_ms:
        return [note.tickets, both, note.awaits_ms, *([True] if note.fetches else [])]
    return [True, True] if both else [True] if note.tickets else []


def _vip(node: str, colo: str, value: Any, reaches: dict[Reach, Reach]) -> Terms:
    vip, group, digest, plain, *more = array(value, 4)[:6]
    found = reach(plain)
    border = name(group), _digest(digest), reaches.setdefault(found, found)
    return Terms(node, colo, name(vip), *border, *_spread(more))


def _spread(more: list[Any]) -> tuple[int, bool]:
    """Return how many copies there are to be in each colo, and whether other colos get any; none told: all, and yes."""
    return _copies(more[0]) if more else 0, flag(more[1]) if len(more) > 1 else True


def _plain_spread(value: Terms) -> list[Any]:
    return [value.copies, value.push][: 2 if not value.push else 1 if value.copies else 0]


def stream_key(value: Any) -> StreamKey:
    """Return the name of a stream."""
    origin, born, vip = array(value, 3)[:3]
    return StreamKey(name(origin), incarnation(born), name(vip))


def seen(value: Any) -> Seen:
    """Return what was seen of a stream."""
    entry = array(value, 4)
    return Seen(stream_key(entry[:3]), ranges(VECTOR_RANGES_MAX)(entry[3]))


def held(value: Any) -> Held:
    """Return which numbers of a stream a node has."""
    entry = array(value, 4)
    steps = items(seq, HELD_SEQS_MAX)(entry[3])
    numbers = tuple(accumulate(steps))
    if not all(steps) or (numbers and numbers[-1] > SEQ_MAX):
        raise FieldError("numbers")
    return Held(stream_key(entry[:3]), numbers)


def ranges(longest: int) -> Callable[[Any], tuple[int, ...]]:
    """Return a reader of up to `longest` ranges as flat pairs: positive, upwards, apart from one another."""

    def read(value: Any) -> tuple[int, ...]:
        flat = tuple(map(seq, array(value, 0, 2 * longest)))
        if len(flat) % 2 or (flat and flat[0] < 1):
            raise FieldError("ranges")
        if any(flat[at] > flat[at + 1] for at in range(0, len(flat), 2)):
            raise FieldError("ranges run backwards")
        if any(flat[at] >= flat[at + 1] for at in range(1, len(flat) - 1, 2)):
            raise FieldError("ranges overlap")
        return flat

    return read


def plain_record(value: NodeRecord) -> list[Any]:
    """Return the form of a record on the wire; `record` is its inverse."""
    vips = [[vip.vip, vip.group, vip.digest, vip.reach.to_plain(), *_plain_spread(vip)] for vip in value.vips]
    notes = [[note.parts, note.version, note.digest, *_rest(note)] for note in value.notes]
    plain = [value.node, value.incarnation, value.colo, value.address, value.revision, vips, value.version]
    return [*plain, notes] if notes else plain


def plain_terms(value: Terms) -> list[Any]:
    """Return the form of terms on the wire; `terms` is its inverse."""
    border = [value.node, value.colo, value.vip, value.group, value.digest, value.reach.to_plain()]
    return [*border, *_plain_spread(value)]


def plain_seen(value: Seen) -> list[Any]:
    """Return the form of a vector's entry on the wire; `seen` is its inverse."""
    return [*value.key, list(value.ranges)]


def plain_held(values: tuple[Held, ...]) -> list[Any]:
    """Return what `held` reads, of each stream: numbers as steps from one to the next, of which most are one byte."""
    return [[*key, [seqs[0], *(after - before for before, after in pairwise(seqs))]] for key, seqs in values]
