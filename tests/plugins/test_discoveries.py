"""What a discovery finds is tried, what it loses is not; it may raise, and it can't be told lies by its own words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache.core.values.events import HookFaulted
from meshcache.hooks import FOUND_MAX
from meshcache.plugins.discoveries import DiscoveryRunner
from tests.nodes import Place, alive, places
from tests.plugins.hooks import Tells
from tests.support.waiting import wait_until


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    yield from places(folder)


def test_a_node_finds_its_peer_by_it_alone_also_when_it_failed_at_first(place: Place) -> None:
    first = place.node("edge-1")
    discovery = Tells(first.address, raises=1)
    second = place.node("edge-2", mesh={"seeds": []}, hooks=[discovery])
    wait_until(lambda: alive(second) == {"edge-1"} and alive(first) == {"edge-2"}, what="they meet")
    (hook,) = second.stats()["hooks"]
    assert (hook["kind"], hook["counts"]["raised"], hook["counts"]["found"]) == ("discovery", 1, 1)
    assert discovery.here is not None
    assert (discovery.here.node, discovery.here.mesh, discovery.here.address) == ("edge-2", "test", second.address)
    discovery.here.lost(first.address)
    assert second.stats()["hooks"][0]["counts"]["lost"] == 1
    assert alive(second) == {"edge-1"}, "a link is no matter of discovery"


def test_what_is_lost_is_dialled_no_more(place: Place) -> None:
    discovery = Tells("127.0.0.1:9")
    node = place.node("edge-1", hooks=[discovery])
    candidates = node.internals.pump.core.duties.joining.candidates
    wait_until(lambda: "127.0.0.1:9" in candidates, what="it is dialled")
    assert discovery.here is not None
    discovery.here.lost("127.0.0.1:9")
    assert "127.0.0.1:9" not in candidates


def test_only_addresses_are_taken_and_not_without_end() -> None:
    told: list[HookFaulted] = []
    hints: list[tuple[str, bool]] = []
    discovery = Tells()
    runner = DiscoveryRunner(discovery, "", told.append)
    runner.start("edge-1", "ams1", "test", "127.0.0.1:1", lambda address, found: hints.append((address, found)))
    wait_until(lambda: discovery.here, what="it runs")
    here = discovery.here
    assert here is not None
    for wrong in ("edge-2:7946", "10.0.0.4", "10.0.0.4:0", "10.0.0.4:99999", "", None, 7):
        here.found(wrong)  # type: ignore[arg-type]
    assert runner.health.to_plain()["counts"]["bad_address"] == 7
    assert not hints
    for number in range(FOUND_MAX + 3):
        here.found(f"10.0.{number // 250}.{number % 250}:7946")
    assert len(hints) == FOUND_MAX
    here.lost("10.9.9.9:1")
    assert len(hints) == FOUND_MAX, "what wasn't found can't be lost"
    here.lost("10.0.0.1:7946")
    assert hints[-1] == ("10.0.0.1:7946", False)
    discovery.close()
    runner.close(30)
    here.found("10.0.0.1:7946")
    assert hints[-1] == ("10.0.0.1:7946", False), "closed: nobody listens"
    assert {fault.what for fault in told} == {"bad_address"}
