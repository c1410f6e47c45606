"""pyftpdlib: FTPS, where data connections come one after another and each may resume the control connection's session.

handler = join(TLS_FTPHandler, "meshcache.toml", vip="files")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from meshcache.contrib.mesh import Mesh

Handler = TypeVar("Handler", bound=type[Any])


def join(handler: Handler, file: str | Path, *, vip: str | None = None, required: bool = False) -> Handler:
    """Let the context of a TLS handler class join; its ``certfile`` and ``keyfile`` must be set."""
    Mesh(file, vip=vip, required=required).join(handler.get_ssl_context())
    return handler
