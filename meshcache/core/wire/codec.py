"""Bytes to messages and back: CBOR in its plainest form, checked to the last byte before anything is believed.

Decides nothing about senders; a message that comes out of `decode` is valid in itself and may still be a lie.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, NoReturn

import cbor2

from meshcache.core.policy.gates import Terms
from meshcache.core.values.drops import Drop
from meshcache.core.values.session import SEQ_MAX
from meshcache.core.wire import fields, messages
from meshcache.core.wire.columns import ColumnError, read_columns
from meshcache.core.wire.containers import too_many_containers
from meshcache.core.wire.fields import FieldError
from meshcache.core.wire.kinds import KINDS, Spec
from meshcache.core.wire.messages import Batch, Envelope, FetchEnd, FetchReply, Hello, Message, PullReply, Push

DEPTH_MAX = 8
"""Envelope, body, list of records, record, list of VIPs, VIP, reach: seven; and one for what a newer node adds."""

_TERMS_MAX = 4096
"""Terms kept by their bytes, so that those of a busy stream are read once; forgotten all at once."""

_KNOWN_TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)


class WireError(ValueError):
    """These bytes are no message: ``reason`` is the word under which the drop is counted."""

    def __init__(self, reason: Drop) -> None:
        super().__init__(reason)
        self.reason = reason


def encode(sender: str, incarnation: int, message: Message) -> bytes:
    """Return the bytes of a message. Encode once for all who get the same."""
    number, spec = KINDS[type(message)]
    return cbor2.dumps([number, sender, incarnation, spec.write(message)])


class Decoder:
    """Reads messages; remembers the terms it has read."""

    def __init__(self) -> None:
        self._terms: dict[bytes, Terms] = {}

    def decode(self, payload: bytes) -> Envelope:
        """Return the message in `payload`, with its sender. Raises WireError for anything that isn't wholly one."""
        if len(payload) > messages.MESSAGE_BYTES_MAX:
            raise WireError(Drop.TOO_LONG)
        if too_many_containers(payload):
            raise WireError(Drop.TOO_MANY)
        number, sender, incarnation, body = _outside(load_item(payload))
        kind = _SPECS.get(number)
        if kind is None:
            raise WireError(Drop.UNKNOWN_KIND)
        try:
            sender, incarnation = fields.name(sender), fields.incarnation(incarnation)
            message = self._inside(kind, body)
        except (FieldError, ColumnError) as error:
            raise WireError(Drop.BAD_FIELD) from error
        if type(message) is Hello and (message.record.node, message.record.incarnation) != (sender, incarnation):
            raise WireError(Drop.BAD_FIELD)
        return Envelope(sender, incarnation, message, len(body.keys() - kind.keys))

    def _inside(self, spec: Spec, body: dict[str, Any]) -> Message:
        if spec.make is Push:
            return Push(self._batch(body, messages.PUSH_SPAN_MAX), **spec.read(body))
        if spec.make is FetchReply:
            batch = self._batch(body, SEQ_MAX) if "t" in body else None
            return _fill(batch, **spec.read(body))
        if spec.make is PullReply:
            return PullReply(batch=self._batch(body, SEQ_MAX) if "t" in body else None, **spec.read(body))
        return spec.make(**spec.read(body))

    def _batch(self, body: dict[str, Any], span_max: int) -> Batch:
        first, last = fields.seq(body.get("f")), fields.seq(body.get("l"))
        if not 0 < first <= last < first + span_max:
            raise FieldError("range")
        born = fields.incarnation(body.get("i"))
        age = (fields.incarnation(body.get("u", born)), fields.revision(body.get("r")))
        if age[0] < born:
            raise FieldError("terms older than the stream")
        return Batch(self._terms_of(body.get("t")), born, age, first, last, read_columns(first, last, body))

    def _terms_of(self, plain: Any) -> Terms:
        known = self._terms.get(plain) if type(plain) is bytes else None
        if known is None:
            known = fields.terms(load_item(fields.octets(1, _TERMS_BYTES_MAX)(plain)))
            if len(self._terms) >= _TERMS_MAX:
                self._terms.clear()
            self._terms[plain] = known
        return known


_TERMS_BYTES_MAX = 8192
"""Four names, a digest and 64 colos."""

_SPECS = dict(KINDS.values())


def _fill(batch: Batch | None, token: int, end: FetchEnd | None) -> FetchReply:
    if batch is None and end is None:
        raise FieldError("empty fill")
    return FetchReply(token, batch, end)


def _outside(item: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
    if type(item) is not list or len(item) < 4 or type(item[0]) is not int or type(item[3]) is not dict:
        raise WireError(Drop.BAD_ENVELOPE)
    number, sender, incarnation, body = item[:4]
    return number, sender, incarnation, body


def load_item(payload: bytes) -> Any:
    """Return the one CBOR item that fills `payload`: no tags, no indefinite lengths, no key twice, text keys only.

    Text keys are hashed with a secret of the process, so a map can't be made of colliding ones.
    """
    source = BytesIO(payload)
    decoder = cbor2.CBORDecoder(
        source,
        max_depth=DEPTH_MAX,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
        semantic_decoders=_DENIED,
        tag_hook=_deny,
    )
    try:
        item = decoder.decode()
    except cbor2.CBORDecodeError as error:
        raise WireError(Drop.NOT_CBOR) from error
    if source.tell() != len(payload):
        raise WireError(Drop.TRAILING_BYTES)
    return item


def _deny(*_: object) -> NoReturn:
    raise FieldError("tag")


_DENIED: dict[int, Callable[..., Any]] = dict.fromkeys(_KNOWN_TAGS, _deny)
