"""How long a start is held back; whole servers that restart are in `tests/e2e/test_rolling_restart.py`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from meshcache_server.takeover.warming import wait_warm

from meshcache import MeshNode
from meshcache.core.tickets import ticket_duty
from meshcache.ticket_files import exports
from meshcache.ticket_files.export import Keys
from tests.nodes import Place, places, settings


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


async def test_an_agent_waits_for_its_keys_however_long_and_says_for_which(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ring has no key, as in the seconds after a withdraw, until it is let have one."""
    there, of_the_ring = asyncio.Event(), exports.keys_for
    monkeypatch.setattr(ticket_duty, "_ROTATE_PAUSE_S", 0.0)
    monkeypatch.setattr(exports, "keys_for", lambda *what: of_the_ring(*what) if there.is_set() else Keys())
    export = {"vip": "shop", "format": "nginx", "path": str(folder / "keys"), "settle_s": 0.0}
    vip = {"name": "shop", "resumption": "tickets"}
    with MeshNode(settings(folder, vip=[vip], tickets={"export": [export]})) as node:
        for warm_s, for_keys in ((0.05, False), (0, True)):
            await wait_warm(node, warm_s, asyncio.Event(), for_keys=for_keys)
            assert not (folder / "keys").exists()
        caplog.clear()
        waiting = asyncio.create_task(wait_warm(node, 0.05, asyncio.Event(), for_keys=True))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        (message,) = caplog.messages
        assert f"waiting for ticket keys for VIP shop (nginx, {folder}/keys)" in message
        there.set()
        node.policies.rotate_tickets("shop")
        await asyncio.wait_for(waiting, 30)
        assert (folder / "keys" / "tickets.conf").exists()


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
