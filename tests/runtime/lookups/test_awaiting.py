"""Tests of `runtime.lookups.awaiting`: real handshakes on one node that wait for the push of another's session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from meshcache import MeshNode
from meshcache.runtime.lookups import awaiting
from meshcache.runtime.lookups.asking import PausedLookup, Step
from tests.nodes import Place, places
from tests.support.waiting import wait_until
from tests.tls.world import VERSIONS, StdlibEnd, client_context, server_context, server_end, shake_hands, visit

VIP = {"name": "shop", "tickets": 1, "await_ms": 1000, "fetch": "off"}  # or the next step is to fetch it


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


class Two:
    """Two nodes that have met. While the first one's ``sending`` is locked, what it makes stays there."""

    def __init__(self, place: Place, version: str, **changes: Any) -> None:
        vip = [VIP | changes]
        self.made_on, self.came_to = place.node("edge-1", vip=vip), place.node("edge-2", vip=vip)
        self.first = place.server(self.made_on, version=version)
        context = server_context("pyopenssl", version)
        self.second = self.came_to.attach(context, vip="shop", pauses=True)
        self.client = client_context(version)
        place.wait_until_met()
        wait_until(lambda: knows_clock(self.came_to), what="pings are answered")

    def back(self, session: Any) -> tuple[StdlibEnd, Any]:
        end, server = StdlibEnd(self.client, server=False, name="a.test", session=session), server_end(self.second)
        end.shake()
        server.feed(end.take())
        return end, server

    def lookups(self) -> Any:
        return self.came_to.stats()["vips"]["shop"]["lookups"]


def knows_clock(node: MeshNode) -> bool:
    return all(peer.ahead_s is not None for peer in node.internals.pump.core.duties.members)


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_is_faster_than_its_session_waits_for_it(place: Place, version: str) -> None:
    two = Two(place, version)
    lock = two.made_on.internals.pump.sending
    lock.acquire()  # nobody sends
    session = visit(two.first, two.client).session
    end, server = two.back(session)
    with pytest.raises(SSL.Error):
        server.tls.do_handshake()
    lookup = two.came_to.paused(server.tls)
    assert lookup is not None
    lock.release()
    two.made_on.internals.pump.wake()
    wait_until(lambda: lookup.go_on() is None, what="it comes, or time is over")
    shake_hands(end, server)
    assert server.resumed
    assert two.came_to.resumption(server.tls).origin == "edge-1"
    assert two.lookups()["asked"] == {"await": {"on_its_way": 1, "found": 1}}
    assert (two.lookups()["remote"], two.lookups()["miss"]) == (1, 0)
    assert not two.came_to.internals.pump.core.awaiting


@pytest.mark.usefixtures("hot_path")
def test_a_fault_of_who_is_asked_after_it_keeps_no_place_of_those_that_wait(place: Place) -> None:
    two = Two(place, "1.2")
    asking = two.came_to.internals.vips.asking
    awaiter, broken = asking.asker(Step.AWAIT), BrokenAsker()
    assert isinstance(awaiter, awaiting.Awaiter)
    asking.plug(Step.FETCH, broken)
    lock = two.made_on.internals.pump.sending
    lock.acquire()  # nobody sends
    try:
        session = visit(two.first, two.client).session
        end, server = two.back(session)
        with pytest.raises(SSL.Error):
            server.tls.do_handshake()
        assert awaiter.waits == 1
        lookup = two.came_to.paused(server.tls)
        assert lookup is not None
        assert lookup.go_on(lookup.until) is None
        shake_hands(end, server)
    finally:
        lock.release()
    assert not server.resumed
    assert (awaiter.waits, bool(two.came_to.internals.pump.core.awaiting)) == (0, False)
    awaiter.end(lookup, 0.0)
    assert awaiter.waits == 0, "of what it knows nothing it gives nothing back"
    assert two.came_to.stats()["faults"] == {"shop": {"client_hello": 1}}


class BrokenAsker:
    def serves(self, _vip: str) -> bool:
        return True

    def begin(self, _lookup: PausedLookup, _now: float) -> float | None:
        raise RuntimeError("broken")

    def end(self, lookup: PausedLookup, now: float) -> None:
        """It began nothing."""


@pytest.mark.usefixtures("hot_path")
def test_in_vain_it_waits_no_longer_than_configured(place: Place) -> None:
    two = Two(place, "1.2", await_ms=30)
    lock = two.made_on.internals.pump.sending
    lock.acquire()
    try:
        session = visit(two.first, two.client).session
        end, server = two.back(session)
        began = time.monotonic()
        with pytest.raises(SSL.Error):
            server.tls.do_handshake()
        lookup = two.came_to.paused(server.tls)
        assert lookup is not None
        assert 0 < lookup.until - began < 0.030 + 5
        assert lookup.go_on(lookup.until) is None
        shake_hands(end, server)
    finally:
        lock.release()
    assert not server.resumed
    assert two.lookups()["asked"] == {"await": {"on_its_way": 1, "late": 1}}
    assert not two.came_to.internals.pump.core.awaiting


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_here_and_is_gone_is_not_waited_for(place: Place, version: str) -> None:
    two = Two(place, version)
    session = visit(two.first, two.client).session
    core, pump = two.came_to.internals.pump.core, two.came_to.internals.pump
    cache = core.duties.cache.vip_cache("shop")
    assert cache is not None
    wait_until(lambda: len(cache), what="the session has come")
    made = next(iter(cache.items()))[0]
    with pump.lock:
        core.session_removed("shop", made)
        for peer in core.duties.members:
            peer.ahead_s = (peer.ahead_s or 0.0) + 5  # as if it had been five seconds ago
    end, server = two.back(session)
    shake_hands(end, server)
    assert not server.resumed
    assert two.lookups()["asked"] == {"await": {"old": 1}}


@pytest.mark.usefixtures("hot_path")
def test_nobody_waits_where_it_is_off_and_a_reload_turns_it_on(place: Place) -> None:
    two = Two(place, "1.2", await_ms=0)
    asking = two.came_to.internals.vips.asking
    assert asking.of_vip("shop") == ()
    settings = two.came_to.internals.settings
    vip = settings.vips[0].model_copy(update={"await_ms": 5.0})
    two.came_to.reload(settings.model_copy(update={"vips": (vip,)}))
    assert [step.value for step, _ in asking.of_vip("shop")] == ["await"]


def test_those_who_wait_are_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaiting, "AWAITED_MAX", 0)
    two = Two(place, "1.2")
    lock = two.made_on.internals.pump.sending
    lock.acquire()
    session = visit(two.first, two.client).session
    end, server = two.back(session)
    shake_hands(end, server)
    lock.release()
    assert not server.resumed
