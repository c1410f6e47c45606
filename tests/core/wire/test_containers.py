"""Frames with more arrays and maps than a message can have are told apart, whatever else they hold; no valid one is."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.policy.gates import Reach
from meshcache.core.wire import containers
from meshcache.core.wire.codec import Decoder, WireError, encode
from meshcache.core.wire.containers import CONTAINERS_MAX, too_many_containers
from meshcache.core.wire.fields import plain_record
from meshcache.core.wire.kinds import KINDS
from meshcache.core.wire.messages import MESSAGE_BYTES_MAX, Roster, Seen, Vector
from tests.core.samples import SAMPLES, SHOP

ONE_BYTE_NAMES = [chr(number) for number in range(33, 127)]


@pytest.mark.parametrize("empty", [[], {}])
def test_the_most_that_may_be_and_one_more(empty: Any) -> None:
    assert not too_many_containers(cbor2.dumps([empty] * (CONTAINERS_MAX - 1)))
    assert too_many_containers(cbor2.dumps([empty] * CONTAINERS_MAX))


def test_they_are_found_at_any_depth_and_behind_anything() -> None:
    before = [b"\x80" * 300, "x" * 70_000, 2**40, -5, 0.5, None, True]
    few, many = [[[]] * 10, {"a": []}], {"a": [[{}] * (CONTAINERS_MAX // 2)] * 2}
    assert not too_many_containers(cbor2.dumps([*before, few]))
    assert too_many_containers(cbor2.dumps([*before, many]))


def test_bytes_that_look_like_them_are_none() -> None:
    assert not too_many_containers(cbor2.dumps([b"\x80" * MESSAGE_BYTES_MAX]))
    assert not too_many_containers(cbor2.dumps([0x80] * 60_000))


def test_the_message_with_the_most_of_them_is_still_read() -> None:
    """128 KiB of VIPs with the shortest names, each with a reach and a note; and the longest vector."""
    vips = [[name, "g", bytes(32), ["a"]] for name in ONE_BYTE_NAMES[:64]]
    notes = [[b"", 0, b""]] * 64
    plain = plain_record(SAMPLES["hello"].record)
    record = [*plain[:5], vips, plain[6], notes]
    body = {"c": "ams1", "a": 0, "e": [record] * 43}
    payload = cbor2.dumps([KINDS[Roster][0], "edge-1", 7, body])
    assert MESSAGE_BYTES_MAX * 0.95 < len(payload) <= MESSAGE_BYTES_MAX
    assert isinstance(Decoder().decode(payload).message, Roster)
    assert SHOP.reach != Reach.parse(["a"])

    seen = tuple(Seen(("a", at, "b"), tuple(range(1, 65))) for at in range(1, 513))  # type: ignore[arg-type]
    assert not too_many_containers(encode("edge-1", 7, Vector(0, seen)))


@pytest.mark.parametrize("payload", [b"\x99\xff\xff" + b"\x80" * 65_535, b"\x80" * MESSAGE_BYTES_MAX])
def test_one_that_has_more_is_dropped_before_anything_is_allocated(
    payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbor2.CBORDecoder", None)
    with pytest.raises(WireError) as caught:
        Decoder().decode(payload)
    assert caught.value.reason == "too_many"


PLAIN = st.recursive(
    st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=30) | st.none() | st.floats(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=5),
    max_leaves=40,
)


@given(PLAIN)
def test_it_counts_what_cbor2_writes(value: Any) -> None:
    assert containers._count(cbor2.dumps(value)) == held(value)


def held(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + sum(map(held, inner))


@given(st.binary(max_size=400))
def test_whatever_the_bytes_are_counting_ends_without_a_fault(payload: bytes) -> None:
    assert 0 <= containers._count(payload) <= len(payload)
