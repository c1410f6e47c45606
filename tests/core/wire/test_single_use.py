"""Tests of `core.wire.single_use`: the message on the wire, and what is refused of it."""

from __future__ import annotations

import cbor2
import pytest

from meshcache.core.values.drops import Drop
from meshcache.core.wire.codec import Decoder, WireError, encode
from meshcache.core.wire.single_use import CONSUMED_IDS_MAX, Consumed


def test_it_comes_back_as_it_was_and_shows_no_id() -> None:
    told = Consumed("storefront", tuple(bytes([n]) * 32 for n in range(CONSUMED_IDS_MAX)), relay=True, teller="edge-2")
    assert Decoder().decode(encode("edge-1", 7, told)).message == told
    assert "ids" not in repr(told)


@pytest.mark.parametrize(
    "body",
    [
        {"k": [bytes(32)]},
        {"g": "shop"},
        {"g": "", "k": []},
        {"g": "shop", "k": [b""]},
        {"g": "shop", "k": [bytes(33)]},
        {"g": "shop", "k": [bytes(32)] * (CONSUMED_IDS_MAX + 1)},
        {"g": "shop", "k": [bytes(32)], "h": 1},
        {"g": "shop", "k": [bytes(32)], "o": ""},
    ],
)
def test_what_isnt_wholly_one_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(WireError) as refused:
        Decoder().decode(cbor2.dumps([25, "edge-1", 7, body]))
    assert refused.value.reason is Drop.BAD_FIELD
