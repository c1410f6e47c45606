"""aiohttp: a context for ``web.run_app`` and ``TCPSite``.

web.run_app(app, ssl_context=join(context, "meshcache.toml", vip="shop"))
"""

from meshcache.contrib.mesh import join

__all__ = ["join"]
