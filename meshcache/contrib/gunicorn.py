"""gunicorn: two lines in its configuration file, for every worker class that speaks TLS.

    from meshcache.contrib import gunicorn as mesh
    mesh.join(globals(), "meshcache.toml", vip="shop")

Each worker has a node from when it is ready to serve until it exits. sync and gthread make a context for each
connection; uvicorn's worker has a way of its own. What the file says of the same hooks is kept, whichever comes first:
put the two lines at its end.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshcache.contrib.mesh import Mesh

Default = Callable[[], ssl.SSLContext]


def join(settings: dict[str, Any], file: str | Path, *, vip: str | None = None, required: bool = False) -> Mesh:
    """Add to gunicorn's settings, ``globals()`` of its configuration file, what lets its workers' contexts join."""
    mesh = Mesh(file, vip=vip, required=required)
    make, ready, leave = (settings.get(name) for name in ("ssl_context", "post_worker_init", "worker_exit"))
    kept: list[ssl.SSLContext] = []

    def ssl_context(config: Any, default: Default) -> ssl.SSLContext:
        return mesh.join(make(config, default) if make is not None else default())

    def post_worker_init(worker: Any) -> None:
        # Here and not in post_fork: the worker has its own user by now, and gevent's has patched what it patches.
        if ready is not None:
            ready(worker)
        if worker.cfg.is_ssl:
            mesh.start()
            config = getattr(worker, "config", None)
            if config is not None and hasattr(
                config, "ssl_context_factory"
            ):  # uvicorn's worker asks gunicorn for files, not for a context
                config.ssl_context_factory = _Factory(mesh, config.ssl_context_factory)
            else:
                kept.append(_first(worker))

    def worker_exit(server: Any, worker: Any) -> None:
        mesh.close()
        if leave is not None:
            leave(server, worker)

    settings.update(ssl_context=ssl_context, post_worker_init=post_worker_init, worker_exit=worker_exit)
    return mesh


def _first(worker: Any) -> ssl.SSLContext:
    """Make a context before the first client's and keep it:
    from then on the worker serves the VIP and gets sessions.
    """
    from gunicorn.sock import ssl_context

    made: ssl.SSLContext = ssl_context(worker.cfg)
    return made


class _Factory:
    def __init__(self, mesh: Mesh, given: Callable[[Any, Default], ssl.SSLContext] | None) -> None:
        self._mesh = mesh
        self._given = given

    def __call__(self, config: Any, default: Default) -> ssl.SSLContext:
        return self._mesh.join(default() if self._given is None else self._given(config, default))
