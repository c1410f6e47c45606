"""Messages there and back, and bytes that are none: whatever comes in, a WireError is all that comes out."""

from __future__ import annotations

import contextlib
from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshcache.core.wire.codec import DEPTH_MAX, Decoder, WireError, encode, messages
from meshcache.core.wire.messages import MESSAGE_BYTES_MAX, Fetch, Heartbeat, Hello, Ping, Push
from tests.core.samples import SAMPLES


def reason(payload: bytes) -> str:
    with pytest.raises(WireError) as caught:
        Decoder().decode(payload)
    return caught.value.reason


def raw(kind: Any, body: Any, sender: Any = "edge-1", incarnation: Any = 7) -> bytes:
    return cbor2.dumps([kind, sender, incarnation, body])


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_message_survives_the_wire(name: str) -> None:
    message = SAMPLES[name]
    envelope = Decoder().decode(encode("edge-1", 7, message))
    assert (envelope.sender, envelope.incarnation, envelope.unknown_fields) == ("edge-1", 7, 0)
    assert type(envelope.message) is type(message)
    assert encode("edge-1", 7, envelope.message) == encode("edge-1", 7, message)


def test_every_kind_of_message_has_a_sample() -> None:
    assert {type(message) for message in SAMPLES.values()} == set(messages.Message.__args__)


def test_a_message_longer_than_the_maximum_is_not_even_looked_at() -> None:
    body = {"q": 1, "zz": b"x" * MESSAGE_BYTES_MAX}
    assert reason(raw(3, body)) == "too_long"
    assert Decoder().decode(raw(3, {"q": 1, "zz": b"x" * 1000})).unknown_fields == 1


def test_an_unknown_kind_is_told_apart_from_a_broken_message() -> None:
    assert reason(raw(99, {})) == "unknown_kind"
    assert reason(raw(-1, {})) == "unknown_kind"
    assert reason(raw("3", {})) == "bad_envelope"
    assert reason(cbor2.dumps([3, "edge-1", 7])) == "bad_envelope"
    assert reason(cbor2.dumps({"q": 1})) == "bad_envelope"
    assert reason(raw(3, ["q"])) == "bad_envelope"


def test_unknown_fields_are_ignored_and_counted_at_either_level() -> None:
    envelope = Decoder().decode(cbor2.dumps([3, "edge-1", 7, {"q": 5, "new": [1, {"a": 2}]}, "appended"]))
    assert envelope.message == Ping(5)
    assert envelope.unknown_fields == 1


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "not_cbor"),
        (raw(3, {"q": 1}) + b"\0", "trailing_bytes"),
        (raw(3, {"q": 1})[:-1], "not_cbor"),
        (b"\x9f\x03\xff", "not_cbor"),
        (b"\x84\x03\x61a\x01\xa2\x61q\x01\x61q\x02", "not_cbor"),
        (b"\x84\x03\x61a\x01\xa1\x01\x01", "not_cbor"),
        (b"\x84\x03\x61a\x01\xbf\x61q\x01\xff", "not_cbor"),
        (b"\x81" * (DEPTH_MAX + 1) + b"\0", "not_cbor"),
        (b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "not_cbor"),
        (raw(3, {"q": 1}, sender=""), "bad_field"),
        (raw(3, {"q": 1}, sender="a\nb"), "bad_field"),
        (raw(3, {"q": 1}, incarnation=-1), "bad_field"),
        (raw(3, {"q": 1}, incarnation=2**53 + 1), "bad_field"),
        (raw(3, {}), "bad_field"),
        (raw(3, {"q": 2**32}), "bad_field"),
    ],
)
def test_bytes_that_are_no_message_have_a_reason(payload: bytes, expected: str) -> None:
    assert reason(payload) == expected


@pytest.mark.parametrize(
    "tag", [0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 100, 256, 258, 260, 1004, 43000, 55799, 77]
)
def test_no_tag_is_ever_looked_into(tag: int) -> None:
    assert reason(raw(3, {"q": 1, "new": cbor2.CBORTag(tag, "(a+)+$")})) == "not_cbor"


def test_a_hello_speaks_for_its_sender_only() -> None:
    hello = SAMPLES["hello"]
    assert isinstance(hello, Hello)
    assert Decoder().decode(encode(hello.record.node, hello.record.incarnation, hello)).message == hello
    assert reason(encode("edge-2", hello.record.incarnation, hello)) == "bad_field"
    assert reason(encode(hello.record.node, 8, hello)) == "bad_field"


@pytest.mark.parametrize(
    "lie",
    [
        {"f": 0},
        {"f": 5, "l": 4},
        {"l": 2**53 + 1},
        {"l": 5000},
        {"t": b""},
        {"t": b"\xf6"},
        {"u": 6},
        {"r": -1},
        {"n": 65},
    ],
)
def test_a_push_with_absurd_ranges_counts_or_terms_is_refused(lie: dict[str, Any]) -> None:
    payload = encode("edge-1", 7, SAMPLES["push"])
    kind, sender, incarnation, body = cbor2.loads(payload)
    assert reason(raw(kind, body | lie, sender, incarnation)) == "bad_field"


def test_a_fill_may_cover_more_than_a_push() -> None:
    kind, sender, incarnation, body = cbor2.loads(encode("edge-1", 7, SAMPLES["fill"]))
    wide = body | {"n": 0, "f": 1, "l": 2**50}
    assert Decoder().decode(raw(kind, wide, sender, incarnation))
    assert reason(raw(7, wide, sender, incarnation)) == "bad_field"


def test_a_fill_says_something_or_is_none() -> None:
    assert reason(raw(9, {"q": 1})) == "bad_field"


def test_terms_of_a_busy_stream_are_read_once() -> None:
    decoder = Decoder()
    payload = encode("edge-1", 7, SAMPLES["push"])
    first, second = decoder.decode(payload).message, decoder.decode(payload).message
    assert isinstance(first, Push)
    assert isinstance(second, Push)
    assert first.batch.terms is second.batch.terms


def test_a_heartbeat_is_small() -> None:
    assert len(encode("colo-12-node-31", 1_750_000_000_000, Heartbeat(86_400, 3, 3, (100_000, 20)))) < 56


@given(st.binary(max_size=200))
@example(encode("edge-1", 7, Fetch(1, messages.StreamKey("a", 1, "b"), ((1, 2),))))
def test_no_bytes_raise_anything_but_a_wire_error(payload: bytes) -> None:
    with contextlib.suppress(WireError):
        Decoder().decode(payload)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_no_mutation_of_a_message_raises_anything_but_a_wire_error(name: str, data: st.DataObject) -> None:
    payload = bytearray(encode("edge-1", 7, SAMPLES[name]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        Decoder().decode(bytes(payload[: data.draw(st.integers(1, len(payload)))]))
