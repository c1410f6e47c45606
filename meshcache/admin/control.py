"""What the admin interface can change and explain, on the Unix socket only: its file mode has decided who may.

A refusal is answered 422 with its reason, and nothing has changed then. Everything runs on threads of its own, since a
change waits for the whole mesh and the other requests shouldn't.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, runtime_checkable

from aiohttp import web

from meshcache.errors import PolicyError

Answer = Callable[[dict[str, Any], int], web.Response]

VALUES_MAX = 16
"""In one change; there are five keys."""

_TEXT_CHARS_MAX = 2048


class ChangesPolicies(Protocol):
    """Changes policies and explains them, as `live_policy.controller.PolicyController`. Each call may take seconds."""

    def set_policy(self, vip: str, values: dict[str, str], *, node_only: bool = False) -> dict[str, Any]: ...
    def unset_policy(self, vip: str, keys: list[str], *, node_only: bool = False) -> dict[str, Any]: ...
    def withdraw(
        self, *, vip: str = "", group: str = "", origin: str = "", everything: bool = False, new_epoch: bool = False
    ) -> dict[str, Any]: ...
    def explain_way(self, source: str, target: str) -> dict[str, Any]: ...
    def explain_session(self, session: str) -> dict[str, Any]: ...
    def ticket_rings(self) -> list[dict[str, Any]]: ...
    def rotate_tickets(self, vip: str) -> int: ...
    def clocks(self) -> dict[str, float]: ...
    def figures(self) -> dict[str, Any]: ...


@runtime_checkable
class HasPolicies(Protocol):
    """A node that can be told what to do."""

    @property
    def policies(self) -> ChangesPolicies: ...


def control_routes(node: HasPolicies, answer: Answer) -> list[web.AbstractRouteDef]:
    """``POST /v1/policy/set``, ``/unset``, ``POST /v1/sessions/withdraw``, ``/v1/tickets/rotate``,
    ``GET /v1/tickets``, ``/v1/explain``, ``/v1/clocks``, ``/v1/mesh``.
    """

    def route(work: Callable[[web.Request], Awaitable[dict[str, Any]]]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return answer(await work(request), 200)
            except PolicyError as error:
                return answer({"error": str(error)}, 422)

        return handle

    async def set_policy(request: web.Request) -> dict[str, Any]:
        body = await _body(request, {"vip", "set", "node_only"})
        values, node_only = _values(body.get("set")), _flag(body, "node_only")
        return await asyncio.to_thread(node.policies.set_policy, _text(body, "vip"), values, node_only=node_only)

    async def unset_policy(request: web.Request) -> dict[str, Any]:
        body = await _body(request, {"vip", "keys", "node_only"})
        keys, node_only = _keys(body.get("keys", [])), _flag(body, "node_only")
        return await asyncio.to_thread(node.policies.unset_policy, _text(body, "vip"), keys, node_only=node_only)

    async def withdraw(request: web.Request) -> dict[str, Any]:
        body = await _body(request, {"vip", "group", "origin", "all", "new_epoch"})
        names = {key: _text(body, key) for key in ("vip", "group", "origin")}
        everything, new_epoch = _flag(body, "all"), _flag(body, "new_epoch")
        return await asyncio.to_thread(node.policies.withdraw, **names, everything=everything, new_epoch=new_epoch)

    async def rotate(request: web.Request) -> dict[str, Any]:
        vip = _text(await _body(request, {"vip"}), "vip")
        return {"vip": vip, "generation": await asyncio.to_thread(node.policies.rotate_tickets, vip)}

    return [
        web.post("/v1/tickets/rotate", route(rotate)),
        web.post("/v1/policy/set", route(set_policy)),
        web.post("/v1/policy/unset", route(unset_policy)),
        web.post("/v1/sessions/withdraw", route(withdraw)),
        *(web.get(path, route(work)) for path, work in _questions(node).items()),
    ]


def _questions(node: HasPolicies) -> dict[str, Callable[[web.Request], Awaitable[dict[str, Any]]]]:
    """Return what is only read, and yet asks other nodes or takes a while."""

    async def explain(request: web.Request) -> dict[str, Any]:
        query = request.query
        if "session" in query:
            return await asyncio.to_thread(node.policies.explain_session, query["session"])
        return await asyncio.to_thread(node.policies.explain_way, query.get("from", ""), query.get("to", ""))

    async def clocks(_request: web.Request) -> dict[str, Any]:
        return {"ahead_s": await asyncio.to_thread(node.policies.clocks)}

    async def figures(_request: web.Request) -> dict[str, Any]:
        return await asyncio.to_thread(node.policies.figures)

    async def tickets(_request: web.Request) -> dict[str, Any]:
        return {"rings": await asyncio.to_thread(node.policies.ticket_rings)}

    return {"/v1/tickets": tickets, "/v1/clocks": clocks, "/v1/explain": explain, "/v1/mesh": figures}


async def _body(request: web.Request, known: set[str]) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    if strange := sorted(set(body) - known):
        raise web.HTTPBadRequest(text=f"unknown field {strange[0][:100]}; there is {', '.join(sorted(known))}")
    return body


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key, "")
    if not isinstance(value, str) or len(value) > _TEXT_CHARS_MAX:
        raise web.HTTPBadRequest(text=f"{key} must be text")
    return value


def _flag(body: dict[str, Any], key: str) -> bool:
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise web.HTTPBadRequest(text=f"{key} must be true or false")
    return value


def _values(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > VALUES_MAX:
        raise web.HTTPBadRequest(text="set must be an object of keys and their values as text")
    return {key: _text(value, key) for key in value}


def _keys(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > VALUES_MAX or not all(isinstance(key, str) for key in value):
        raise web.HTTPBadRequest(text="keys must be a list of keys")
    return value
