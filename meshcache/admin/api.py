"""What the admin interface answers: JSON under ``/v1/``, on the Unix socket and, read-only, over HTTP.

Every answer is an object. An error is ``{"error": TEXT}`` with a status that says whose fault it is. Reads the node and
never keeps anything of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from ipaddress import ip_address
from typing import Any, Final, Protocol, runtime_checkable

from aiohttp import web

from meshcache.admin import dashboard
from meshcache.admin.control import HasPolicies, control_routes
from meshcache.admin.key_giving import HasExports, key_routes
from meshcache.admin.reading import AskingNode, read
from meshcache.admin.stream import DashboardStream
from meshcache.admin.tokens import asks_for
from meshcache.errors import MeshcacheError
from meshcache.runtime.front import Front

REQUEST_BYTES_MAX: Final = 64 * 1024
"""A policy change takes a few hundred bytes."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_log = logging.getLogger("meshcache.admin")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AdminNode(Protocol):
    """What the admin interface needs of a node. Each is quick, where the node isn't one of `reading.AskingNode`, may be
    called on any thread, and returns plain values that JSON can hold."""

    def stats(self) -> dict[str, Any]: ...
    def peers(self) -> list[dict[str, Any]]: ...
    def policy(self) -> list[dict[str, Any]]: ...
    def events(self, since: int) -> list[dict[str, Any]]: ...


@runtime_checkable
class HasFront(Protocol):
    """A node whose program may be asked to reload."""

    @property
    def front(self) -> Front: ...


def unix_app(node: AdminNode) -> web.Application:
    """Return the application on the Unix socket, whose file mode has decided who may ask."""
    app = web.Application(middlewares=[_plain_errors], client_max_size=REQUEST_BYTES_MAX)
    app.add_routes(read_routes(node))
    if isinstance(node, HasPolicies):
        app.add_routes(control_routes(node, answer))
    if isinstance(node, HasExports):
        app.add_routes(key_routes(node, answer))
    if isinstance(node, HasFront):
        app.add_routes([web.post("/v1/reload", _reload_handler(node))])
        app.add_routes([web.post("/v1/take-over", _take_over_handler(node))])
    return app


def http_app(node: AdminNode, hosts: Collection[str] = (), token: str | None = None) -> web.Application:
    """Return the application on the HTTP port: the same reads, metrics and the dashboard, no writes, and no way in for
    a web page from elsewhere. `hosts` are names of this machine that a request may bear, `token` is what it has to
    show.
    """
    from meshcache.admin import metrics  # here: most nodes have a socket only, and start without its library

    asked = [] if token is None else [asks_for(token)]
    app = web.Application(
        middlewares=[_plain_errors, _no_foreign_host(hosts), *asked, _reads_only], client_max_size=REQUEST_BYTES_MAX
    )
    stream = DashboardStream(node)
    app.cleanup_ctx.append(stream.lifespan)
    app.add_routes(
        [*read_routes(node), *health_routes(node), *metrics.routes(node), *stream.routes(), *dashboard.routes()]
    )
    return app


def read_routes(node: AdminNode) -> list[web.AbstractRouteDef]:
    """``GET /v1/stats``, ``/v1/peers``, ``/v1/policy`` and ``/v1/events?since=SEQ``."""

    async def stats(_request: web.Request) -> web.Response:
        return answer(await read(node, node.stats))

    async def peers(_request: web.Request) -> web.Response:
        return answer({"peers": await read(node, node.peers)})

    async def policy(_request: web.Request) -> web.Response:
        return answer({"policy": await read(node, node.policy)})

    async def events(request: web.Request) -> web.Response:
        return answer({"events": await read(node, node.events, _since(request))})

    return [
        web.get("/v1/stats", stats),
        web.get("/v1/peers", peers),
        web.get("/v1/policy", policy),
        web.get("/v1/events", events),
    ]


def health_routes(node: AdminNode) -> list[web.AbstractRouteDef]:
    """``GET /healthz``: the node answers. ``GET /readyz``: and the server around it takes connections, else 503.

    Where no server of ours is around the node, it is ready when it is warm. One that asks others answers for itself:
    whoever probes it would else end all for one that is stuck.
    """

    async def healthz(_request: web.Request) -> web.Response:
        if not isinstance(node, AskingNode):
            node.stats()
        return answer({"ok": True})

    async def readyz(_request: web.Request) -> web.Response:
        stats = await read(node, node.stats)
        front = stats.get("front")
        ready = bool(stats["node"]["warm"] if front is None else front["ready"])
        return answer({"ready": ready}, 200 if ready else 503)

    return [web.get("/healthz", healthz), web.get("/readyz", readyz)]


def _reload_handler(node: HasFront) -> Handler:
    async def reload(_request: web.Request) -> web.StreamResponse:
        try:
            return answer(await asyncio.to_thread(node.front.reload))
        except MeshcacheError as error:
            return answer({"error": str(error)}, 422)

    return reload


def _take_over_handler(node: HasFront) -> Handler:
    async def take_over(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        path = asked.get("socket") if isinstance(asked, dict) else None
        if not isinstance(path, str):
            raise web.HTTPBadRequest(text="socket is the path of the Unix socket on which the successor listens")
        try:
            return answer(await asyncio.to_thread(node.front.hand_over, path))
        except MeshcacheError as error:
            return answer({"error": str(error)}, 422)

    return take_over


def answer(content: dict[str, Any], status: int = 200) -> web.Response:
    """Return a JSON answer that no cache keeps and no other site may read."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return web.Response(text=text, status=status, content_type="application/json", headers=HEADERS)


def _since(request: web.Request) -> int:
    text = request.query.get("since", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise web.HTTPBadRequest(text="since is the seq of the last event you have, a whole number")
    return int(text)


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors as JSON; log a fault of ours, and tell a stranger nothing of it."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return answer({"error": f"there is nothing at {request.path[:100]}"}, 404)
    except web.HTTPMethodNotAllowed as error:
        refusal = answer({"error": f"{request.path[:100]} takes {', '.join(sorted(error.allowed_methods))} only"}, 405)
        refusal.headers["Allow"] = error.headers["Allow"]
        return refusal
    except web.HTTPError as error:
        refusal = answer({"error": error.text or error.reason}, error.status)
        if "WWW-Authenticate" in error.headers:
            refusal.headers["WWW-Authenticate"] = error.headers["WWW-Authenticate"]
        return refusal
    except web.HTTPException:
        raise
    except MeshcacheError as error:  # a node that isn't running, or workers of which none serves
        return answer({"error": str(error)}, 503)
    except Exception:  # noqa: BLE001 - the last line before a stranger: nothing of the fault may get out
        _log.exception("%s %r failed", request.method, request.path[:100])
        return answer({"error": "the node could not answer; its log says why"}, 500)


def _no_foreign_host(hosts: Collection[str]) -> Any:
    """Refuse a page elsewhere whose name was made to point here (DNS rebinding):
    it still sends that name as its host.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_own_host(request.headers.get("Host", ""), hosts):
            why = (
                "ask by IP address, as localhost, or by this machine's host name; another name has to be listed in "
                "the node's file: [admin] hosts"
            )
            return answer({"error": why}, 403)
        return await handler(request)

    return check


@web.middleware
async def _reads_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method not in ("GET", "HEAD"):
        raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
    return await handler(request)


def is_own_host(header: str, hosts: Collection[str] = ()) -> bool:
    """Return whether a Host header names this machine in a way that no stranger's DNS can forge."""
    host = header if header.endswith("]") else header.rpartition(":")[0] or header
    host = host.removeprefix("[").removesuffix("]").lower()
    if host in ("localhost", socket.gethostname().lower()) or host.removesuffix(".") in hosts:
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
