"""Each border alone, with real handshakes: nothing crosses it in either version of TLS; without it everything would.

The random worlds of `test_worlds` mix them; here none is left to chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.security import oracle
from tests.security.borders import ALIKE, BORDERS, CERTIFIED, PLAIN, Border
from tests.security.oracle import Coming, Node, resumes, why_not
from tests.security.worlds import World, client_for
from tests.support.hot_paths import python_path  # noqa: F401 - the worlds' weakened builds are of Python's decisions


@contextmanager
def world(border: Border) -> Iterator[World]:
    made = World(border.nodes)
    try:
        yield made
    finally:
        made.close()


def offer(world: World, made: Coming, offered: Coming) -> tuple[bool, int]:
    """Whether what was made on the first node resumes on the second, and how many sessions it was sent."""
    (home, origin), (away, target) = world.servers()
    client = client_for(made)
    first = world.come(home, origin, made, client)
    assert first is not None
    world.settle()
    here = away.core.stats(world.clock.now)["vips"][target.name]
    back = world.come(away, target, offered, client, first.session)
    return back is not None and back.resumed, here["sessions"]["received"]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", sorted(BORDERS))
def test_no_session_crosses(name: str, version: str) -> None:
    border = BORDERS[name]
    made, offered = (replace(coming, version=version) for coming in (border.made, border.offered))
    with world(border) as place:
        ends = [(member.node, vip) for member, vip in place.servers()]
        assert why_not(ends[0], made, ends[1], offered) == border.why
        resumed, there = offer(place, made, offered)
        assert not resumed
        assert (there > 0) == border.travels, "it didn't even get there"
        assert not [reason for member in place.members for reason in member.turned_away()], "nor was it sent"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("coming", [PLAIN, CERTIFIED], ids=["plain", "certified"])
def test_without_a_border_between_them_they_do(coming: Coming, version: str) -> None:
    coming = replace(coming, version=version)
    with world(Border("")) as place:
        resumed, there = offer(place, coming, coming)
        assert resumed
        assert there > 0
    assert resumes((Node("a", "ams1", (ALIKE,)), ALIKE), coming, (Node("b", "fra1", (ALIKE,)), ALIKE), coming)


def test_there_is_a_pair_for_every_reason_that_the_oracle_knows() -> None:
    assert {border.why for border in BORDERS.values()} == set(oracle.REASONS)
