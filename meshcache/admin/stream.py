"""Sends a node's snapshot to everyone who watches, once a second, as server-sent events.

One producer reads the node and encodes once, whatever the number of viewers. A viewer has no queue: one that is slow
misses snapshots, one that stalls is let go. Changes nothing and takes nothing from a viewer.

`event: history` comes first, with the last minutes in the few numbers that charts need, so that a page that was just
opened isn't blank; then `event: snapshot` with all of `stats` and the newest events.
(WHATWG HTML, section 9.2, server-sent events.)
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol

from aiohttp import web

from meshcache.admin.reading import read
from meshcache.errors import MeshcacheError

PERIOD_S: Final = 1.0
IDLE_PERIOD_S: Final = 5.0
"""Between readings when nobody watches: they only feed the history, so a reading should cost next to nothing."""

HISTORY_S: Final = 300.0
HISTORY_POINTS_MAX: Final = 301
"""One a second over the history, both ends included."""

EVENTS_MAX: Final = 50
"""Events in each snapshot, so that a viewer that missed one misses nothing; a page has room for no more."""

VIEWERS_MAX: Final = 16
"""Each holds a connection and a socket buffer; a team needs no more of one node, and a leak of viewers ends here."""

STALL_S: Final = 10.0
"""How long a viewer may leave its socket buffer full."""

_log = logging.getLogger("meshcache.admin")

_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",
}

Stats = Mapping[str, Any]


class Watched(Protocol):
    """What the stream needs of a node."""

    def stats(self) -> dict[str, Any]: ...
    def events(self, since: int) -> list[dict[str, Any]]: ...


class DashboardStream:
    """The producer and its viewers, for one admin application.

    Give `routes` to the application and `lifespan` to its ``cleanup_ctx``.
    """

    def __init__(self, node: Watched, *, period_s: float = PERIOD_S, viewers_max: int = VIEWERS_MAX) -> None:
        self._node = node
        self._period_s = period_s
        self._viewers_max = viewers_max
        self._viewers = 0
        self._points: deque[dict[str, Any]] = deque(maxlen=HISTORY_POINTS_MAX)
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_MAX)
        self._frame = b""
        self._turn = 0
        self._closing = False
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.get("/v1/stream", self._view)]

    async def lifespan(self, app: web.Application) -> AsyncIterator[None]:
        """Run the producer while the application runs; its end is every viewer's end."""
        app.on_shutdown.append(self._close)
        producer = asyncio.create_task(self._produce(), name="meshcache dashboard")
        yield
        producer.cancel()
        await asyncio.gather(producer, return_exceptions=True)

    async def _close(self, _app: web.Application) -> None:
        self._closing = True
        async with self._changed:
            self._changed.notify_all()

    async def _produce(self) -> None:
        while True:
            try:
                await self._read()
            except MeshcacheError:
                pass  # workers of which none serves yet; the page says that it hears nothing
            except Exception:  # noqa: BLE001 - as above; the next reading may work
                _log.exception("the node could not be read")
            self._wake.clear()
            period_s = self._period_s if self._viewers else IDLE_PERIOD_S
            try:
                await asyncio.wait_for(self._wake.wait(), period_s)
            except TimeoutError:
                continue

    async def _read(self) -> None:
        stats = await read(self._node, self._node.stats)
        seen = self._events[-1]["seq"] if self._events else 0
        self._events.extend(await read(self._node, self._node.events, seen))
        point = chart_point(stats)
        self._points.append(point)
        while self._points[0]["at"] < point["at"] - HISTORY_S:
            self._points.popleft()
        self._frame = _encode("snapshot", {"stats": stats, "point": point, "events": list(self._events)})
        async with self._changed:
            self._turn += 1
            self._changed.notify_all()

    async def _view(self, request: web.Request) -> web.StreamResponse:
        if self._viewers >= self._viewers_max:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "10"}, text=f"{self._viewers} viewers already\n")
        self._viewers += 1
        try:
            return await self._show(request)
        finally:
            self._viewers -= 1

    async def _show(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS)
        try:
            await response.prepare(request)
            self._wake.set()
            seen = self._turn
            frame = b"retry: 1000\n" + _encode("history", {"points": list(self._points)})
            while not self._closing:
                await asyncio.wait_for(response.write(frame), STALL_S)
                seen, frame = await self._next(seen)
        except (TimeoutError, ConnectionError):
            pass  # the viewer left or stalled: its connection ends with this request
        return response

    async def _next(self, seen: int) -> tuple[int, bytes]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._turn != seen or self._closing)
            return self._turn, self._frame


def chart_point(stats: Stats) -> dict[str, Any]:
    """Return the few counters of one moment that charts draw; ``at`` is the node's uptime in seconds."""
    vips, gossip = stats["vips"], stats["gossip"]
    return {
        "at": stats["node"]["uptime_s"],
        "vips": {name: _handshakes(of["handshakes"]) for name, of in vips.items()},
        "lookups": _lookups([of["lookups"] for of in vips.values()]),
        "lag_ms": {key: [gossip["lag_ms"][key][q] for q in ("p50", "p99")] for key in ("intra", "inter")},
        "bytes": [gossip["sent"]["bytes"], gossip["received"]["bytes"]],
        "dropped": dict(gossip["dropped"]),
        "evicted": sum(of["sessions"]["evicted"] for of in vips.values()),
    }


def _handshakes(handshakes: Stats) -> list[int]:
    """Full, resumed from this server, resumed from a peer."""
    return [handshakes["full"], handshakes["local"], handshakes["remote"] + handshakes["pulled"]]


def _lookups(lookups: list[Stats]) -> dict[str, int]:
    plain = ("local", "remote", "pulled", "miss", "expired", "hit_not_resumed")
    totals = {key: sum(of[key] for of in lookups) for key in plain}
    totals["refused"] = sum(sum(of["refused"].values()) for of in lookups)
    return totals


def _encode(event: str, data: Mapping[str, Any]) -> bytes:
    """JSON has no raw line break, so one data line is always enough."""
    return f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'), allow_nan=False)}\n\n".encode()
