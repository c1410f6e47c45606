"""Counters by VIP."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from meshcache.core.state.counters import HANDSHAKE_RESULTS, Counters, FoundAtDoor, Tallies


def test_a_vip_keeps_its_counters() -> None:
    counters = Counters()
    counters.vip("shop").made += 1
    assert counters.vip("shop").made == 1
    assert counters.vip("blog").made == 0
    assert sorted(counters.vips) == ["blog", "shop"]


def test_what_a_door_counted_is_added_to_its_own_number() -> None:
    vip = Counters().vip("shop")
    for _ in range(2):
        vip.add_found(FoundAtDoor(*range(1, 11)))
    assert {name: vip.handshakes[name] for name in HANDSHAKE_RESULTS} == {
        "full": 12,
        "local": 16,
        "remote": 18,
        "pulled": 20,
        "failed": 0,
    }
    assert (vip.local, vip.remote, vip.pulled, vip.miss, vip.foreign, vip.hit_not_resumed) == (2, 4, 6, 8, 10, 14)


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_reading_a_tally_changes_nothing() -> None:
    tallies = Tallies(HANDSHAKE_RESULTS)
    tallies.add("full")
    tallies.add("full")
    assert [tallies["full"] for _ in range(5)] == [2] * 5
    assert tallies["local"] == 0
    tallies.add("full")
    assert tallies["full"] == 3


def test_an_unknown_result_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        Tallies(HANDSHAKE_RESULTS).add("lost")


@pytest.mark.usefixtures("hasty")
def test_threads_that_count_at_once_lose_nothing_while_another_reads() -> None:
    tallies, each, seen = Tallies(HANDSHAKE_RESULTS), 20_000, [0]
    begin = threading.Barrier(5)

    def add() -> None:
        begin.wait()
        for _ in range(each):
            tallies.add("local")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    begin.wait()
    while any(thread.is_alive() for thread in threads):
        seen.append(tallies["local"])
    assert seen == sorted(seen)
    assert tallies["local"] == 4 * each
