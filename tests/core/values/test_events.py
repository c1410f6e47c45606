"""Events wait for a reader, within a bound."""

from __future__ import annotations

from meshcache.core.values.events import EVENTS_MAX, EventLog, PeerLeft


def test_events_are_read_once_and_in_order() -> None:
    log = EventLog()
    log.add(PeerLeft(1.0, "a"))
    log.add(PeerLeft(2.0, "b"))
    assert [event.at for event in log.drain()] == [1.0, 2.0]
    assert log.drain() == []


def test_the_oldest_go_first_when_nobody_reads() -> None:
    log = EventLog()
    for at in range(EVENTS_MAX + 5):
        log.add(PeerLeft(float(at), "a"))
    kept = log.drain()
    assert len(kept) == EVENTS_MAX
    assert kept[0].at == 5.0
