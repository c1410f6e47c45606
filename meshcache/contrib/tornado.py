"""Tornado: a context for ``HTTPServer``. For ``fork_processes``, join after the fork.

HTTPServer(app, ssl_options=join(context, "meshcache.toml", vip="shop"))
"""

from meshcache.contrib.mesh import join

__all__ = ["join"]
