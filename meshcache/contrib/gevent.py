"""gevent: a context for pywsgi, under ``monkey.patch_all()`` or without it. The mesh has real threads either way.

WSGIServer(address, app, ssl_context=join(context, "meshcache.toml", vip="shop"))
"""

from meshcache.contrib.mesh import join

__all__ = ["join"]
