"""Joining the mesh from servers that people already run: a module for each, one line where contexts are made.

    from meshcache.contrib.aiohttp import join

    web.run_app(app, ssl_context=join(context, "meshcache.toml", vip="shop"))

The mesh never takes a service down here: whatever is wrong with it leaves full handshakes, one line in the log and a
count. The node starts in the process where a context is first joined, so workers that are forked later get their own.
Imports `node`, `workers` and what is named for it in `runtime` and `tls`; nobody imports it. Each module imports its
server when it needs it, and nobody else's.
"""

from meshcache.contrib.mesh import Mesh, join

__all__ = ["Mesh", "join"]
