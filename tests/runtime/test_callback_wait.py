"""Tests of `await_in_callback_ms`: handshakes that can't be paused wait in the get callback, if asked to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from meshcache import MeshNode
from tests.nodes import Place, places, settings
from tests.support.waiting import wait_until
from tests.tls.world import VERSIONS, Visit, client_context, server_context, visit

VIP = {"name": "shop", "tickets": 1, "await_ms": 0, "fetch": "off", "await_in_callback_ms": 2}
KINDS = ("stdlib", "pyopenssl")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


class Two:
    """Two nodes that have met, embedded: no handshake of theirs can be paused."""

    def __init__(self, place: Place, version: str, kind: str = "stdlib", **changes: Any) -> None:
        vip = [VIP | changes]
        self.made_on, self.came_to = place.node("edge-1", vip=vip), place.node("edge-2", vip=vip)
        self.first = place.server(self.made_on, version=version)
        self.second = place.server(self.came_to, kind=kind, version=version)
        self.client = client_context(version)
        place.wait_until_met()
        wait_until(lambda: knows_clock(self.came_to), what="pings are answered")

    def waits_for(self, milliseconds: float) -> None:
        """Longer than a file may say: what a test waits for takes as long as the machine takes."""
        old = self.came_to.internals.settings
        vip = old.vips[0].model_copy(update={"await_in_callback_ms": milliseconds})
        self.came_to.reload(old.model_copy(update={"vips": (vip,)}))

    def held_up(self) -> Any:
        """Keep what the first node makes from being sent, until this is released."""
        lock = self.made_on.internals.pump.sending
        lock.acquire()
        return lock

    @property
    def lookups(self) -> Any:
        return self.came_to.stats()["vips"]["shop"]["lookups"]


def knows_clock(node: MeshNode) -> bool:
    return all(peer.ahead_s is not None for peer in node.internals.pump.core.duties.members)


class Aside:
    """A visit on a thread of its own."""

    def __init__(self, go: Callable[[], Visit]) -> None:
        self.done: list[Visit] = []
        self._thread = threading.Thread(target=lambda: self.done.append(go()), daemon=True)
        self._thread.start()

    def visit(self) -> Visit:
        self._thread.join(60)
        return self.done[0]


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_handshake_that_cant_pause_waits_where_it_is_and_others_run_meanwhile(
    place: Place, version: str, kind: str
) -> None:
    two = Two(place, version, kind)
    two.waits_for(60_000)
    lock = two.held_up()
    session = visit(two.first, two.client).session
    back = Aside(lambda: visit(two.second, two.client, session=session))
    awaiting = two.came_to.internals.pump.core.awaiting
    wait_until(lambda: bool(awaiting), what="it waits, without the interpreter: this thread runs")
    lock.release()
    two.made_on.internals.pump.wake()
    assert back.visit().resumed
    assert two.lookups["asked"] == {"await": {"on_its_way": 1, "found": 1}}
    assert (two.lookups["remote"], two.lookups["miss"]) == (1, 0)
    assert not awaiting


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_in_vain_it_is_over_soon_and_a_miss(place: Place, version: str) -> None:
    two = Two(place, version)
    lock = two.held_up()
    try:
        session = visit(two.first, two.client).session
        began = time.monotonic()
        assert not visit(two.second, two.client, session=session).resumed
        assert time.monotonic() - began < 30
    finally:
        lock.release()
    assert two.lookups["asked"] == {"await": {"on_its_way": 1, "late": 1}}
    assert two.lookups["miss"] == 1
    assert not two.came_to.internals.pump.core.awaiting


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_off_by_default_and_a_reload_ends_it(place: Place, version: str) -> None:
    two = Two(place, version, await_in_callback_ms=0)
    lock = two.held_up()
    try:
        session = visit(two.first, two.client).session
        assert not visit(two.second, two.client, session=session).resumed
        assert two.lookups["asked"] == {}
        two.waits_for(1)
        session = visit(two.first, two.client).session
        assert not visit(two.second, two.client, session=session).resumed
        assert two.lookups["asked"] == {"await": {"on_its_way": 1, "late": 1}}
        two.waits_for(0)
        assert not visit(two.second, two.client, session=session).resumed
        assert two.lookups["asked"] == {"await": {"on_its_way": 1, "late": 1}}
    finally:
        lock.release()


@pytest.mark.usefixtures("hot_path")
@pytest.mark.parametrize("version", VERSIONS)
def test_it_waits_for_nothing_that_isnt_on_its_way(place: Place, version: str) -> None:
    two = Two(place, version)
    two.waits_for(60_000)
    stranger = place.server(place.node("alone", mesh={"name": "other", "seeds": []}), version=version)
    foreign = visit(stranger, two.client).session
    own = visit(two.second, two.client).session
    gone = two.came_to.internals.pump
    wait_until(lambda: two.made_on.stats()["cache"]["entries"], what="the copy has come")
    with gone.lock:
        for session_id in gone.core.session_ids("shop"):
            gone.core.session_removed("shop", session_id)
    began = time.monotonic()
    assert not visit(two.second, two.client, session=foreign).resumed
    assert not visit(two.second, two.client, session=own).resumed
    assert time.monotonic() - began < 30
    assert two.lookups["asked"] == {"await": {"own": 1}}
    assert two.lookups["foreign"] == 1


@pytest.mark.usefixtures("hot_path")
def test_a_context_whose_handshakes_pause_never_stands_still(place: Place) -> None:
    two = Two(place, "1.3")
    asking = two.came_to.internals.vips.asking
    assert asking.of_vip("shop") == ()  # `await_ms` is 0: nothing pauses
    pausing = two.came_to.attach(server_context("pyopenssl", "1.3"), vip="shop", pauses=True)
    two.waits_for(60_000)
    lock = two.held_up()
    try:
        session = visit(two.first, two.client).session
        began = time.monotonic()
        assert not visit(pausing, two.client, session=session).resumed
        assert time.monotonic() - began < 30
    finally:
        lock.release()
    assert two.lookups["asked"] == {}


@pytest.mark.parametrize("milliseconds", [-1, 2.1, 5])
def test_two_milliseconds_are_the_most(tmp_path: Path, milliseconds: float) -> None:
    with pytest.raises(ValidationError):
        settings(tmp_path, vip=[VIP | {"await_in_callback_ms": milliseconds}])
