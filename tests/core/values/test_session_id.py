"""Tests of `core.values.session_id`: what members read, and that nobody else reads or makes anything."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2s

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcache.core.values.session_id import ID_BYTES, IdKey, life_of, node_of, read_claim

KEY = IdKey(bytes(range(32)), bytes(range(32, 64)))
OTHER = IdKey(bytes(range(1, 33)), bytes(range(32, 64)))
LIFE = life_of("edge-1", 1_700_000_000_123)


def nonce(number: int) -> bytes:
    return number.to_bytes(8)


def test_a_member_reads_what_was_written() -> None:
    made = KEY.mint(LIFE, 1234.5678, nonce(1))
    assert len(made) == ID_BYTES
    claim = KEY.read(made)
    assert claim is not None
    assert (claim.id, claim.node, claim.life, claim.born_at) == (made, node_of("edge-1"), LIFE, 1234.567)


def test_it_is_made_of_what_the_page_says() -> None:
    """Spelled out once more, as another implementation would."""
    facts = (1_234_567).to_bytes(5) + LIFE + nonce(7)
    seal = blake2s(facts, key=KEY.seal, digest_size=12).digest()
    veil = blake2s(seal, key=KEY.veil, digest_size=20).digest()
    assert KEY.mint(LIFE, 1234.567, nonce(7)) == seal + bytes(a ^ b for a, b in zip(facts, veil, strict=True))


def test_under_another_key_it_says_nothing() -> None:
    made = KEY.mint(LIFE, 1.0, nonce(1))
    assert OTHER.read(made) is None
    assert IdKey(KEY.seal, OTHER.seal).read(made) is None
    assert read_claim((OTHER, KEY), made) is not None, "each key of a keyring is tried"
    assert read_claim((OTHER,), made) is None, "as of a key that was retired, or another mesh"
    assert read_claim((), made) is None


@given(st.integers(0, ID_BYTES * 8 - 1))
def test_with_one_bit_changed_it_is_nobodys(bit: int) -> None:
    made = bytearray(KEY.mint(LIFE, 5.0, nonce(3)))
    made[bit // 8] ^= 1 << bit % 8
    assert read_claim((KEY,), bytes(made)) is None


@given(st.binary(max_size=64))
def test_random_bytes_of_any_length_are_nobodys(data: bytes) -> None:
    assert read_claim((KEY, OTHER), data) is None


def test_ids_of_one_moment_differ_and_show_nothing_of_what_they_have_in_common() -> None:
    """All facts but the nonce are equal: no byte of the id may show it, in any place more often than chance lets it."""
    made = [KEY.mint(LIFE, 5.0, nonce(number)) for number in range(4096)]
    assert len(set(made)) == len(made)
    for place in range(ID_BYTES):
        most = Counter(each[place] for each in made).most_common(1)[0][1]
        assert most < 48, "16 are expected; 48 or more in one of these places once in 10^7 runs"


@pytest.mark.parametrize(("born_at", "read_as"), [(-5.0, 0.0), (0.0, 0.0), (2.0**40, (2**40 - 1) / 1000)])
def test_a_birth_out_of_range_is_cut_to_it(born_at: float, read_as: float) -> None:
    claim = KEY.read(KEY.mint(LIFE, born_at, nonce(1)))
    assert claim is not None
    assert claim.born_at == read_as


def test_lives_and_names_differ() -> None:
    assert life_of("edge-1", 1) != life_of("edge-1", 2)
    assert life_of("edge-1", 1)[:4] == node_of("edge-1") != node_of("edge-2")


def test_neither_keys_nor_claims_show_a_secret() -> None:
    made = KEY.mint(LIFE, 5.0, nonce(1))
    shown = f"{KEY!r} {KEY.read(made)!r}"
    assert made.hex() not in shown
    assert str(made) not in shown
    assert KEY.seal.hex() not in shown
    assert repr(KEY.seal) not in shown
