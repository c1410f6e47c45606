"""Observers see events and counters in order, on a thread of their own; what they do wrong is theirs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache.core.values.events import HookFaulted
from meshcache.hooks import EVENTS_WAITING_MAX, Observer
from meshcache.plugins.observers import ObserverRunner
from tests.nodes import Place, places
from tests.plugins.hooks import Sees
from tests.support.waiting import wait_until


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def test_it_sees_what_the_node_tells(place: Place) -> None:
    observer = Sees()
    node = place.node("edge-1", hooks=[observer])
    place.node("edge-2")
    place.wait_until_met()
    wait_until(lambda: any(event["kind"] == "PeerJoined" for event in observer.events), what="the event is seen")
    assert observer.events == node.events()[: len(observer.events)]
    wait_until(lambda: observer.stats, what="the counters are seen")
    assert observer.stats[0]["node"]["name"] == "edge-1"
    place.close()
    assert observer.closed


def test_one_that_raises_is_counted_and_told_once_and_sees_the_next(place: Place) -> None:
    observer = Sees(raises=True)
    node = place.node("edge-1", hooks=[observer])
    place.node("edge-2")
    place.wait_until_met()

    def told() -> list[dict[str, Any]]:
        return [event for event in node.events() if event["kind"] == "HookFaulted"]

    wait_until(lambda: told() and len(observer.events) >= 2, what="it sees also that it was at fault")
    assert len(told()) == 1
    (hook,) = node.stats()["hooks"]
    assert (hook["name"], hook["kind"], hook["counts"]["raised"]) == ("Sees", "observer", len(observer.events))


class Stuck(Observer):
    budget_s = 0.0

    def __init__(self) -> None:
        self.let = threading.Event()
        self.seen: list[int] = []

    def event(self, event: dict[str, Any]) -> None:
        self.let.wait(60)
        self.seen.append(event["seq"])


def test_one_that_is_behind_misses_events_and_holds_up_nobody() -> None:
    told: list[HookFaulted] = []
    observer = Stuck()
    runner = ObserverRunner(observer, "behind", told.append, dict)
    runner.start()
    runner.take([{"seq": 0}])
    wait_until(lambda: runner.health.to_plain()["counts"].get("calls") == 1, what="it is told of the first")
    runner.take([{"seq": number} for number in range(1, EVENTS_WAITING_MAX + 6)])
    assert runner.health.to_plain()["counts"]["missed"] == 5
    assert [fault.what for fault in told] == ["missed"]
    observer.let.set()
    runner.close(30)
    assert observer.seen == list(range(EVENTS_WAITING_MAX + 1))
    assert runner.health.to_plain()["counts"]["slow"] >= 1
