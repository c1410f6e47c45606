"""Tests of `runtime.succession.bequest`: what one node gives and another of its name takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meshcache.errors import MeshcacheError
from meshcache.runtime.succession.bequest import Predecessor
from tests.nodes import Place, places

GOOD = {"mesh": "m", "node": "edge-1", "colo": "ams1", "lives": [1, 2], "peers": ["10.0.0.4:7946"]}


def test_what_was_before_is_read_back() -> None:
    before = Predecessor("m", "edge-1", "ams1", [1, 2], ["10.0.0.4:7946"], {})
    assert Predecessor.from_plain(GOOD) == before, "version 0.1 says nothing of lifetimes"
    told = Predecessor.from_plain(GOOD | {"lifetimes": {"shop": 600}})
    assert told == replace(before, lifetimes={"shop": 600.0})


@pytest.mark.parametrize(
    "bad",
    [
        *(None, {}, GOOD | {"lives": 3}, GOOD | {"lives": ["x"]}, GOOD | {"peers": None}),
        *(GOOD | {"lifetimes": 3}, GOOD | {"lifetimes": {"shop": "long"}}),
    ],
)
def test_what_cant_be_understood_is_refused(bad: object) -> None:
    with pytest.raises(MeshcacheError, match="can't be understood"):
        Predecessor.from_plain(bad)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


def test_a_node_that_has_closed_gives_all_to_its_next_life_and_to_no_other(place: Place) -> None:
    old = place.node("edge-1", sharing={"reach": "server"})
    place.server(old)
    port = old.internals.vips.port("shop")
    for number in range(100):
        port.created(number.to_bytes(32, "big"), b"\x30" * 100, 0, False, 0x0303)
    early = list(old.bequest.frames())
    port.created(b"\xff" * 32, b"\x30" * 100, 0, False, 0x0303)
    about = old.bequest.about()
    old.close(goodbye=False)
    late = list(old.bequest.frames(last=True))
    assert (len(early), len(late)) == (2, 1)
    place.nodes.clear()
    new = place.node("edge-1", sharing={"reach": "server"})
    place.server(new)
    assert new.bequest.take(about, early + late) == 101
    found = new.internals.vips.port("shop").find(b"\xff" * 32)
    assert isinstance(found, tuple)
    with pytest.raises(MeshcacheError, match="another node"):
        new.bequest.take(about | {"node": "edge-2"}, [])
    with pytest.raises(MeshcacheError, match="can't be understood"):
        new.bequest.take(about, [b"garbage"])


def test_what_ends_while_the_rest_is_given_has_ended_for_the_next_life(place: Place) -> None:
    old = place.node("edge-1")
    place.server(old)
    port = old.internals.vips.port("shop")
    kept, used, dropped = (bytes([number]) * 32 for number in (1, 2, 3))
    for each in (kept, used, dropped):
        port.created(each, b"\x30" * 100, 0, False, 0x0303)
    early = list(old.bequest.frames())
    port.consumed(used)
    port.removed(dropped)
    about = old.bequest.about()
    old.close(goodbye=False)
    late = list(old.bequest.frames(last=True))
    place.nodes.clear()
    new = place.node("edge-1")
    place.server(new)
    new.bequest.take(about, early + late)
    found = [new.internals.vips.port("shop").find(each) for each in (kept, used, dropped)]
    assert [isinstance(each, tuple) for each in found] == [True, False, False]
    assert new.stats()["vips"]["shop"]["sessions"]["refused"] == {"consumed": 2}, "no tier has seen them for a moment"


def test_a_next_life_can_hand_over_all_that_it_took(place: Place) -> None:
    old = place.node("edge-1")
    place.server(old)
    port = old.internals.vips.port("shop")
    for number in range(5_000):
        port.created(number.to_bytes(32, "big"), b"\x30" * 100, 0, False, 0x0303)
    early = list(old.bequest.frames())
    port.created(b"\xff" * 32, b"\x30" * 100, 0, False, 0x0303)
    about = old.bequest.about()
    old.close(goodbye=False)
    late = list(old.bequest.frames(last=True))
    place.nodes.clear()
    new = place.node("edge-1")
    place.server(new)
    assert new.bequest.take(about, early + late) == 5_001
    pump = new.internals.pump
    with pump.lock:
        assert sum(len(piece.ids) for piece in pump.core.hand_over.pieces({})) == 5_001


def test_who_asks_after_another_that_failed_is_given_everything(place: Place) -> None:
    old = place.node("edge-1")
    place.server(old)
    port = old.internals.vips.port("shop")
    port.created(b"\x01" * 32, b"\x30" * 100, 0, False, 0x0303)
    first, second = list(old.bequest.frames()), list(old.bequest.frames())
    assert len(first) == len(second) == 1
