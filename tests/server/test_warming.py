"""How long a start is held back; whole servers that restart are in `tests/e2e/test_rolling_restart.py`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from meshcache_server.warming import wait_warm

from meshcache import MeshNode
from tests.nodes import Place, places


@pytest.fixture
def cold(folder: Path) -> Iterator[MeshNode]:
    """A node that looks for somebody who isn't there; it takes two seconds to see that."""
    for place in places(folder):
        yield _cold(place)


def _cold(place: Place) -> MeshNode:
    return place.node("edge-1", mesh={"seeds": ["127.0.0.1:1"]})


async def test_a_start_waits_no_longer_than_it_is_told_to_and_says_so(
    cold: MeshNode, caplog: pytest.LogCaptureFixture
) -> None:
    await wait_warm(cold, 0.05, asyncio.Event())
    assert "not warm after 0.05 s (server.warm_s): looking for peers" in caplog.text


async def test_a_start_that_is_not_to_wait_says_nothing(cold: MeshNode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    await wait_warm(cold, 0, asyncio.Event())
    assert "not warm" not in caplog.text


@pytest.mark.slow
async def test_a_signal_ends_the_wait_and_warmth_does(cold: MeshNode) -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(wait_warm(cold, 600, stop))
    await asyncio.sleep(0)
    assert not waiting.done()
    stop.set()
    await waiting
    assert not cold.warm
    await wait_warm(cold, 600, asyncio.Event())
    assert cold.warm
