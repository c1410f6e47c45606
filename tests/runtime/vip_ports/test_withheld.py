"""Tests of `runtime.vip_ports.withheld`."""

from __future__ import annotations

from meshcache.runtime.vip_ports.withheld import WITHHELD_MAX, Made, Withheld


def test_what_is_held_is_taken_once_and_the_oldest_goes_first() -> None:
    withheld = Withheld()
    ids = [number.to_bytes(32, "big") for number in range(WITHHELD_MAX + 1)]
    for each in ids:
        withheld.add(Made(each, b"der", None, False, 1.0))
    assert len(withheld) == WITHHELD_MAX
    assert ids[0] not in withheld
    assert withheld.take(ids[0]) is None
    made = withheld.take(ids[1])
    assert made is not None
    assert made.id == ids[1]
    assert withheld.take(ids[1]) is None
    assert "der" not in repr(made)


def test_the_sessions_of_one_handshake_are_taken_together_by_any_of_their_ids() -> None:
    withheld = Withheld()
    for handshake in (b"ab", b"cd"):
        withheld.begin()
        for each in handshake:
            withheld.add(Made(bytes([each]), b"der", None, False, 1.0))
        withheld.end()
    assert withheld.take(b"a") is not None
    assert [made.id for made in withheld.take_all(b"b")] == [b"b"], "its sibling was taken already"
    assert [made.id for made in withheld.take_all(b"d")] == [b"c", b"d"]
    assert withheld.take_all(b"d") == []
    assert not len(withheld)


def test_all_can_be_let_go_at_once() -> None:
    withheld = Withheld()
    withheld.begin()
    for each in b"ab":
        withheld.add(Made(bytes([each]), b"der", None, False, 1.0))
    withheld.forget()
    assert withheld.take_all(b"a") == []
    withheld.add(Made(b"c", b"der", None, False, 1.0))  # the handshake goes on
    assert [made.id for made in withheld.take_all(b"c")] == [b"c"]
