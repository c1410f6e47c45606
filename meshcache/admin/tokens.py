"""The token that whoever asks over HTTP from another machine has to show: reads it from its file, and asks for it.

Programs show it as ``Authorization: Bearer TOKEN``, browsers as the password of HTTP's Basic scheme, with any name.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from meshcache.edges.secrecy import why_exposed
from meshcache.errors import ConfigError

TOKEN_CHARS_MIN: Final = 16
TOKEN_BYTES_MAX: Final = 4096

OPEN: Final = frozenset({"/healthz", "/readyz"})
"""What probes ask, and what tells nothing."""

_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="meshcache", charset="UTF-8"'}


def load_token(path: Path) -> str:
    """Return the token in a file, without white space around it.
    Raises ConfigError, which never shows what is in it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO mustn't hang the start
        try:
            status = os.fstat(descriptor)
            why = "it is not a regular file" if not stat.S_ISREG(status.st_mode) else why_exposed(path, status)
            content = b"" if why else os.read(descriptor, TOKEN_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(
            [f"admin.token_file: {path} can't be read: {(error.strerror or str(error)).lower()}"]
        ) from None
    token = content.strip()
    if why is None and not (token.isascii() and b" " not in token and TOKEN_CHARS_MIN <= len(token) < TOKEN_BYTES_MAX):
        why = f"it must hold one word of {TOKEN_CHARS_MIN} characters or more: openssl rand -hex 32 > {path}"
    if why is not None:
        raise ConfigError([f"admin.token_file: {path}: {why}"])
    return token.decode()


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
        return value.strip().encode()
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
