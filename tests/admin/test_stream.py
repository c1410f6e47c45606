"""Server-sent events over real sockets: one reading for all viewers, bounds on viewers, the way a stream ends."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from meshcache.admin import stream as stream_module
from meshcache.admin.stream import HISTORY_POINTS_MAX, HISTORY_S, DashboardStream, chart_point
from tests.admin.snapshots import GeneratedNode
from tests.support.waiting import wait_until_async

Event = tuple[str, dict[str, Any]]
ENDED: Event = ("", {})


class CountingNode(GeneratedNode):
    """Counts how often it is read, and lets a second pass each time."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0
        self.fault: Exception | None = None

    def stats(self) -> dict[str, Any]:
        self.readings += 1
        if self.fault is not None:
            raise self.fault
        self.advance(1)
        self.lags = {scope: lags[-100:] for scope, lags in self.lags.items()}
        return super().stats()


@asynccontextmanager
async def serving(node: GeneratedNode, **settings: Any) -> AsyncIterator[tuple[str, web.AppRunner]]:
    stream = DashboardStream(node, **{"period_s": 0.02, **settings})
    app = web.Application()
    app.add_routes(stream.routes())
    app.cleanup_ctx.append(stream.lifespan)
    runner = web.AppRunner(app, shutdown_timeout=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1/stream", runner
    finally:
        await runner.cleanup()


@asynccontextmanager
async def viewing(address: str) -> AsyncIterator[Callable[[], Any]]:
    """A viewer; call it for the next event."""
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == "text/event-stream"

        async def following() -> Event:
            async with asyncio.timeout(60):
                block = (await answer.content.readuntil(b"\n\n")).decode()
            if not block:
                return ENDED
            fields = dict(line.split(": ", 1) for line in block.strip().splitlines())
            return fields["event"], json.loads(fields["data"])

        yield following


async def test_a_viewer_gets_history_first_and_then_snapshots() -> None:
    node = CountingNode()
    async with serving(node) as (address, _), viewing(address) as following:
        kind, history = await following()
        assert kind == "history"
        assert all(set(point) >= {"at", "vips", "lookups", "lag_ms", "bytes"} for point in history["points"])
        kind, first = await following()
        assert kind == "snapshot"
        _, second = await following()
        assert second["stats"]["node"]["uptime_s"] > first["stats"]["node"]["uptime_s"]
        assert second["point"] == chart_point(second["stats"])


async def test_the_browser_is_told_to_come_back_after_a_second() -> None:
    async with serving(CountingNode()) as (address, _), aiohttp.ClientSession() as session:
        answer = await session.get(address)
        assert (await answer.content.readline()) == b"retry: 1000\n"


async def test_one_reading_serves_all_viewers() -> None:
    node = CountingNode()
    async with serving(node) as (address, _), viewing(address) as one, viewing(address) as other:
        seen: list[dict[float, Any]] = [{}, {}]
        for viewer, following in enumerate((one, other)):
            while len(seen[viewer]) < 20:
                kind, data = await following()
                if kind == "snapshot":
                    seen[viewer][data["stats"]["node"]["uptime_s"]] = data["stats"]
        shared = set(seen[0]) & set(seen[1])
        assert len(shared) >= 5
        assert all(seen[0][at] == seen[1][at] for at in shared)
        assert node.readings <= max(map(max, seen)) + 1, "each reading makes a second pass, so this counts them"


async def test_nobody_watching_costs_next_to_nothing_and_the_first_viewer_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "IDLE_PERIOD_S", 3600.0)
    node = CountingNode()
    async with serving(node) as (address, _):
        await wait_until_async(lambda: node.readings == 1)
        async with viewing(address) as following:
            while (await following())[0] != "snapshot":
                pass
            assert node.readings > 1


async def test_one_viewer_too_many_is_told_so_and_a_place_comes_free() -> None:
    async with serving(CountingNode(), viewers_max=2) as (address, _):
        async with viewing(address), viewing(address):
            assert await status(address) == 503
        await until_status(address, 200)


async def test_a_viewer_that_never_reads_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold a place and its buffers for ever."""
    monkeypatch.setattr(stream_module, "STALL_S", 0.3)
    node = CountingNode()
    for i in range(50):
        node.happen("PeerJoined", "info", "edge-9", "ams1", f"{i} " + "x" * 4000)
    async with serving(node, viewers_max=1) as (address, runner):
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect(runner.addresses[0])
            stalled.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until_status(address, 503)
            await until_status(address, 200)


async def status(address: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        if answer.status == 503:
            assert answer.headers["Retry-After"]
        return answer.status


async def until_status(address: str, wanted: int) -> None:
    async with asyncio.timeout(15):
        while await status(address) != wanted:
            pass


async def test_events_come_with_each_snapshot_so_that_none_is_missed() -> None:
    node = CountingNode()
    node.happen("PeerJoined", "info", "edge-2", "ams1", "edge-2 (ams1) joined")
    async with serving(node) as (address, _), viewing(address) as following:
        while (snapshot := await following())[0] != "snapshot":
            pass
        assert [event["seq"] for event in snapshot[1]["events"]] == [1]
        node.lose("edge-4")
        while len((snapshot := await following())[1]["events"]) < 2:
            pass
        assert [event["kind"] for event in snapshot[1]["events"]] == ["PeerJoined", "PeerLost"]


async def test_history_and_events_stay_within_their_bounds() -> None:
    node = CountingNode()
    async with serving(node, period_s=0.0005) as (address, _), viewing(address):
        async with asyncio.timeout(30):
            while node.readings < HISTORY_POINTS_MAX + 40:
                node.happen("PeerJoined", "info", "edge-2", "ams1", "again")
                await asyncio.sleep(0.001)
        async with viewing(address) as following:
            points = (await following())[1]["points"]
            assert len(points) <= HISTORY_POINTS_MAX
            assert points[-1]["at"] - points[0]["at"] <= HISTORY_S
            assert len((await following())[1]["events"]) == stream_module.EVENTS_MAX


async def test_a_fault_in_one_reading_is_logged_and_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    node = CountingNode()
    async with serving(node) as (address, _), viewing(address) as following:
        await following()
        with caplog.at_level(logging.ERROR, "meshcache.admin"):
            node.fault = RuntimeError("closed")
            await wait_until_async(lambda: caplog.records)
            node.fault = None
        until = node.uptime_s
        while (event := await following())[0] != "snapshot" or event[1]["stats"]["node"]["uptime_s"] <= until:
            pass


async def test_the_end_of_the_server_ends_every_stream_at_once() -> None:
    async with serving(CountingNode()) as (address, runner), viewing(address) as following:
        await following()
        async with asyncio.timeout(60):
            await runner.cleanup()
            while await following() != ENDED:
                pass


async def test_a_hostile_name_stays_inside_its_data_line() -> None:
    node = CountingNode()
    node.peers_plain[0]["name"] = "x\n\nevent: snapshot\ndata: {}\n\n\r\r\u2028"
    async with serving(node) as (address, _), viewing(address) as following:
        assert (await following())[0] == "history"
        for _ in range(3):
            _, data = await following()
            assert data["stats"]["peers"][0]["name"] == node.peers_plain[0]["name"]


def test_a_chart_point_adds_up_what_charts_show() -> None:
    node = GeneratedNode()
    node.advance(60)
    node.vips["pay"]["lookups"]["refused"] = {"der": 2, "lineage": 3}
    node.gossip["dropped"] = {"malformed": 4, "queue_full": 5}
    stats = node.stats()
    point = chart_point(stats)
    shop = stats["vips"]["shop"]["handshakes"]
    assert point["vips"]["shop"] == [shop["full"], shop["local"], shop["remote"] + shop["pulled"]]
    assert point["lookups"]["remote"] == sum(vip["lookups"]["remote"] for vip in stats["vips"].values())
    assert point["lookups"]["refused"] == 5
    assert point["dropped"] == {"malformed": 4, "queue_full": 5}
    assert point["lag_ms"]["inter"] == [stats["gossip"]["lag_ms"]["inter"][q] for q in ("p50", "p99")]
