"""What a sealed value is worth to whom: nothing but to a holder of the key, under its own place."""

from __future__ import annotations

import os

import pytest

from meshcache.core.wire.tier_record import Border
from meshcache.hooks import TIER_KEY_BYTES
from meshcache.tiers.sealing import OVERHEAD_BYTES, VERSION, Sealer, SealError

SECRET, OTHER = os.urandom(32), os.urandom(32)
SHOP = Border("shop", b"\x01" * 32)
ID = b"\x05" * 32


def reason(sealer: Sealer, key: bytes, value: bytes, tag: bytes) -> str:
    with pytest.raises(SealError) as caught:
        sealer.open(key, value, tag)
    return caught.value.reason


def test_what_was_sealed_opens_under_its_key_on_any_node_with_the_secret() -> None:
    one, two = Sealer([SECRET], "prod"), Sealer([SECRET], "prod")
    key, tag = one.key_of(SHOP, ID), one.tag_of(SHOP)
    value = one.seal(key, b"a session", tag)
    assert (len(key), len(value)) == (TIER_KEY_BYTES, len(b"a session") + OVERHEAD_BYTES)
    assert two.open(two.key_of(SHOP, ID), value, two.tag_of(SHOP)) == b"a session"
    assert b"a session" not in value


def test_the_place_differs_by_mesh_group_settings_and_id() -> None:
    one, two = Sealer([SECRET], "prod"), Sealer([SECRET], "test")
    places = {
        one.key_of(SHOP, ID),
        two.key_of(SHOP, ID),
        one.key_of(Border("shop2", SHOP.digest), ID),
        one.key_of(Border("shop", b"\x02" * 32), ID),
        one.key_of(SHOP, ID[:-1]),
        one.key_of(Border("sho", b"p" + SHOP.digest[:-1]), ID),
    }
    assert len(places) == 6
    assert not any(ID[:8] in place for place in places)


def test_values_that_were_swapped_dont_open() -> None:
    sealer = Sealer([SECRET], "prod")
    tag = sealer.tag_of(SHOP)
    mine, yours = sealer.key_of(SHOP, b"mine"), sealer.key_of(SHOP, b"yours")
    assert reason(sealer, mine, sealer.seal(yours, b"yours", tag), tag) == "forged"


def test_no_changed_bit_opens() -> None:
    sealer = Sealer([SECRET], "prod")
    key, tag = sealer.key_of(SHOP, ID), sealer.tag_of(SHOP)
    value = sealer.seal(key, b"x" * 40, tag)
    for at in range(len(value)):
        changed = bytearray(value)
        changed[at] ^= 1
        assert reason(sealer, key, bytes(changed), tag) in ("version", "key", "border", "forged")
    for length in range(len(value)):
        assert reason(sealer, key, value[:length], tag) in ("version", "forged")


def test_another_key_another_border_another_mesh_and_another_version_are_told_apart() -> None:
    sealer, stranger = Sealer([SECRET], "prod"), Sealer([OTHER], "prod")
    key, tag = sealer.key_of(SHOP, ID), sealer.tag_of(SHOP)
    value = sealer.seal(key, b"x", tag)
    assert reason(stranger, key, value, tag) == "key"
    assert reason(sealer, key, value, sealer.tag_of(Border("shop", b"\x02" * 32))) == "border"
    assert reason(sealer, key, value, Sealer([SECRET], "test").tag_of(SHOP)) == "border"
    assert reason(sealer, key, bytes([VERSION + 1]) + value[1:], tag) == "version"
    assert reason(sealer, key, b"", tag) == "version"


def test_after_a_key_is_promoted_both_open_and_after_it_is_retired_one_does() -> None:
    before, during, after = Sealer([SECRET], "prod"), Sealer([OTHER, SECRET], "prod"), Sealer([OTHER], "prod")
    key, tag = before.key_of(SHOP, ID), before.tag_of(SHOP)
    old, new = before.seal(key, b"old", tag), during.seal(key, b"new", tag)
    assert (during.open(key, old, tag), during.open(key, new, tag)) == (b"old", b"new")
    assert (during.is_current(old), during.is_current(new)) == (False, True)
    assert after.open(key, new, tag) == b"new"
    assert reason(after, key, old, tag) == "key"


def test_equal_sessions_never_look_alike() -> None:
    sealer = Sealer([SECRET], "prod")
    key = sealer.key_of(SHOP, ID)
    assert len({sealer.seal(key, b"x") for _ in range(2000)}) == 2000


def test_other_things_lie_apart_from_sessions() -> None:
    sealer = Sealer([SECRET], "prod")
    assert len({sealer.key_of_words("withdraws", "a"), sealer.key_of_words("withdraws", "b")}) == 2
    assert sealer.key_of_words("a", "b") != sealer.key_of_words("ab", "")
