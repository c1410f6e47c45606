"""uvicorn: a factory for its ``ssl_context_factory``, also with ``workers`` and ``reload``.

uvicorn.run("app:app", ssl_certfile=…, ssl_keyfile=…, ssl_context_factory=ContextFactory("meshcache.toml", vip="shop"))
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from meshcache.contrib.mesh import Mesh


class ContextFactory(Mesh):
    """Makes uvicorn's own context, and lets it join. It travels to workers that uvicorn spawns."""

    def __call__(self, _config: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        return self.join(default())
