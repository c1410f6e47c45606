"""Gives ticket keys to an operator who asks on the Unix socket, and to nobody else: no other answer holds a secret.

There is no such route over HTTP. The file mode of the socket has let in who may ask; who it is, is looked at once more,
and told as an event.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from aiohttp import web

from meshcache.errors import PolicyError
from meshcache.ticket_files.layouts import Rendered

Answer = Callable[[dict[str, Any], int], web.Response]

_TEXT_CHARS_MAX = 4096
_CREDENTIALS = struct.Struct("3i")


class GivesKeys(Protocol):
    """See `ticket_files.exports.Exports.give`."""

    def give(self, vip: str, server: str, path: str, asker: str, /) -> Rendered: ...


@runtime_checkable
class HasExports(Protocol):
    """A node that has ticket keys."""

    @property
    def ticket_exports(self) -> GivesKeys: ...


def key_routes(node: HasExports, answer: Answer) -> list[web.AbstractRouteDef]:
    """``POST /v1/tickets/export``: ``{"vip", "format", "path"}`` for ``{"files": {NAME: BASE64}, "keys": [NAME]}``."""

    async def export(request: web.Request) -> web.StreamResponse:
        pid, uid = _asker(request)
        if uid not in (0, os.geteuid()):
            return answer({"error": "ticket keys are given to root and to the user that runs the node"}, 403)
        vip, server, path = _asked(await request.read())
        who = f"user {uid} (process {pid})"
        try:
            given = await asyncio.to_thread(node.ticket_exports.give, vip, server, path, who)
        except PolicyError as error:
            return answer({"error": str(error)}, 422)
        files = {name: base64.b64encode(content).decode() for name, content in given.files.items()}
        return answer({"files": files, "keys": given.labels, "left_out": given.left_out}, 200)

    return [web.post("/v1/tickets/export", export)]


def _asker(request: web.Request) -> tuple[int, int]:
    """Return the process and the user at the other end (SO_PEERCRED, unix(7)); nobody where the kernel doesn't say."""
    link = None if request.transport is None else request.transport.get_extra_info("socket")
    if link is None or link.family != socket.AF_UNIX:
        return 0, -1
    pid, uid, _ = _CREDENTIALS.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def _asked(body: bytes) -> tuple[str, str, str]:
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError):
        plain = None
    match plain:
        case {"vip": str(vip), "format": str(server), "path": str(path), **rest} if not rest:
            if max(map(len, (vip, server, path))) <= _TEXT_CHARS_MAX:
                return vip, server, path
    raise web.HTTPBadRequest(text="the body must be a JSON object with vip, format and path as text")
