"""Asks the bundled server, where it is installed, whether its own steps are compiled. Starts nothing."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec


def server_steps() -> str | None:
    """Return which way its connections go here, ``c`` or ``python``; None where it isn't installed."""
    if find_spec("meshcache_server") is None:
        return None
    return str(import_module("meshcache_server.tls.streams").path())
