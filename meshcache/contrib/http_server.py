"""The standard library's http.server and socketserver: wraps their listening socket.

server = join(ThreadingHTTPServer(address, Handler), context, "meshcache.toml", vip="shop")
"""

from __future__ import annotations

import socketserver
import ssl
from pathlib import Path
from typing import TypeVar

from meshcache.contrib.mesh import Mesh

Server = TypeVar("Server", bound=socketserver.TCPServer)


def join(
    server: Server, context: ssl.SSLContext, file: str | Path, *, vip: str | None = None, required: bool = False
) -> Server:
    """Let a server speak TLS with this context, and the context join.

    The handshake happens in the first read, on the thread that serves the client and not on the one that accepts.
    """
    joined = Mesh(file, vip=vip, required=required).join(context)
    server.socket = joined.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server
