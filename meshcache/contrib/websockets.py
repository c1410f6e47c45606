"""websockets: a context for ``serve``, of asyncio or of threads.

serve(handler, host, port, ssl=join(context, "meshcache.toml", vip="shop"))
"""

from meshcache.contrib.mesh import join

__all__ = ["join"]
