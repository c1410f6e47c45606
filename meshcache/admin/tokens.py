"""Asks whoever comes over HTTP from another machine for the token, which `token_file` reads.

Programs show it as ``Authorization: Bearer TOKEN``, browsers as the password of HTTP's Basic scheme, with any name.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

OPEN: Final = frozenset({"/healthz", "/readyz"})
"""What probes ask, and what tells nothing."""

_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="meshcache", charset="UTF-8"'}


def asks_for(token: str) -> Any:
    """Return the middleware that lets nobody in without this token, but to `OPEN`."""

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path in OPEN or hmac.compare_digest(
            _shown(request.headers.get("Authorization", "")), token.encode()
        ):
            return await handler(request)
        raise web.HTTPUnauthorized(text="show the token of this node's admin.token_file", headers=_CHALLENGE)

    return check


def _shown(header: str) -> bytes:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode(errors="surrogateescape")  # as aiohttp decoded it, whatever the bytes were
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
