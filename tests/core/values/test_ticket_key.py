"""A ticket key shows its name and nothing else, and what is derived from it is good for one ring and one purpose."""

from __future__ import annotations

import copy
import pickle
import random

import pytest

from meshcache.core.values.ticket_key import NAME_BYTES, TicketKey, new_secret, weakness

SECRET = bytes(range(100, 132))
RING = b"r" * 16


def key(secret: bytes = SECRET, ring: bytes = RING, generation: int = 3) -> TicketKey:
    return TicketKey(ring, secret, generation, 0.0, 600, 3600)


def test_its_repr_has_no_part_of_the_secret() -> None:
    shown = repr(key()) + str(key()) + repr([key()]) + f"{key()!r:>60}"
    assert key().name.hex()[:8] in shown
    assert SECRET.hex()[:6] not in shown
    assert "d" * 3 not in shown
    assert repr(SECRET)[2:8] not in shown


@pytest.mark.parametrize("copied", (pickle.dumps, copy.copy, copy.deepcopy))
def test_it_can_t_be_pickled_or_copied(copied: object) -> None:
    with pytest.raises(TypeError):
        copied(key())  # type: ignore[operator]


def test_the_same_secret_is_another_key_in_another_ring_and_for_another_purpose() -> None:
    one, other = key(), key(ring=b"s" * 16)
    assert one.name != other.name
    assert len(one.name) == NAME_BYTES
    assert len({one.derive("aes"), one.derive("mac"), other.derive("aes"), other.derive("mac"), SECRET}) == 5
    assert one.name != key(generation=4).name
    assert one.derive("aes") == key(generation=4).derive("aes")
    assert one.fingerprint() == other.fingerprint() != key(secret=SECRET[::-1]).fingerprint()


def test_wiping_leaves_nothing_of_it() -> None:
    one = key()
    one.wipe()
    assert one.wiped
    assert one.reveal() == bytes(32)


def test_a_higher_generation_ranks_first_and_then_the_name() -> None:
    assert key(generation=4).rank > key().rank
    assert key(secret=SECRET[::-1]).rank != key().rank


@pytest.mark.parametrize(
    ("secret", "why"),
    (
        (b"", "bytes"),
        (SECRET[:31], "31"),
        (SECRET + b"x", "33"),
        (bytes(32), "repeats"),
        (bytes(range(11)) * 3, "33"),
        ((bytes(range(11)) * 3)[:32], "repeats"),
        (b"correct horse battery staple 123", "text"),
    ),
)
def test_what_could_be_guessed_is_weak(secret: bytes, why: str) -> None:
    assert why in (weakness(secret) or "")


def test_random_bytes_are_not_weak() -> None:
    assert weakness(SECRET) is None


class Dice(random.Random):
    """Throws a weak secret first."""

    thrown = 0

    def randrange(self, start: int, /) -> int:  # type: ignore[override]
        self.thrown += 1
        return 0 if self.thrown == 1 else super().randrange(start)


def test_a_new_secret_is_thrown_again_where_it_is_weak() -> None:
    dice = Dice(7)
    assert weakness(new_secret(dice)) is None
    assert dice.thrown == 2


def test_a_key_gets_older_by_what_is_heard_and_never_younger() -> None:
    key = TicketKey(b"r" * 16, bytes(range(32)), 1, 100.0, 600, 3600)
    for born_at, then in ((90.0, 90.0), (95.0, 90.0), (80.0, 80.0)):
        key.born_by(born_at)
        assert key.born_at == then
