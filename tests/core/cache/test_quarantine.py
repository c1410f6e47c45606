"""Entries that were found unusable."""

from __future__ import annotations

from meshcache.core.cache.quarantine import Quarantine


def test_an_id_is_held_for_its_time_and_no_longer() -> None:
    quarantine = Quarantine(10, 60.0)
    quarantine.add(b"bad", 0.0)
    assert quarantine.places([b"good", b"bad"], 59.0) == {1}
    assert quarantine.places([b"good", b"bad"], 60.0) == set()
    quarantine.expire(60.0)
    assert len(quarantine) == 0


def test_the_oldest_is_let_go_when_there_are_too_many() -> None:
    quarantine = Quarantine(2, 60.0)
    for session_id in (b"a", b"b", b"a", b"c"):
        quarantine.add(session_id, 0.0)
    assert quarantine.places([b"a", b"b", b"c"], 1.0) == {0, 2}


def test_a_message_concerns_it_if_an_id_may_be_in_it_or_there_are_many() -> None:
    held = Quarantine(ids_max=64, lasts_s=10.0)
    assert not held.may_concern(b"any")
    held.add(bytes([1]) * 32, 0.0)
    assert held.may_concern(b"before" + bytes([1]) * 32 + b"after")
    assert not held.may_concern(b"before" + bytes([2]) * 32 + bytes([1]) * 31)
    for number in range(2, 20):
        held.add(bytes([number]) * 32, 0.0)
    assert held.may_concern(b"any")
