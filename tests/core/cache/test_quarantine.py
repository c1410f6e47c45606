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
