"""Serves the dashboard page: a handful of fixed files, read once; never a path that a request names.

The page loads nothing from anywhere else and the policy below holds the browser to that. It shows words of other
members, which may be hostile, so nothing inline can run whatever they contain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from importlib.resources import files
from typing import Final

from aiohttp import web

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes() -> list[web.AbstractRouteDef]:
    """`GET /` is the page, `GET /static/NAME` what it loads."""
    pages = {file.name: file.read_bytes() for file in files("meshcache.admin").joinpath("static").iterdir()}
    return [
        web.get("/", _serve("index.html", pages["index.html"])),
        *(web.get(f"/static/{name}", _serve(name, body)) for name, body in sorted(pages.items())),
    ]


def _serve(name: str, body: bytes) -> Handler:
    content_type = next(kind for suffix, kind in _TYPES.items() if name.endswith(suffix))
    tag = sha256(body).hexdigest()[:32]

    async def send(request: web.Request) -> web.Response:
        known = request.if_none_match
        fresh = known is not None and any(seen.value == tag for seen in known)
        headers = {**HEADERS, "ETag": f'"{tag}"'}
        if fresh:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)

    return send
