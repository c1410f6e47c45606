"""Fills ``{host}``, ``{pid}`` and ``{worker}`` into what the file says of the node itself; other braces stay."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from meshcache.config.settings import default_node_name

TABLES = ("node", "mesh", "admin")
"""Where they count. A VIP is the same on every server, and so is what is said of it."""


def filled_in(plain: dict[str, Any], values: Mapping[str, object]) -> dict[str, Any]:
    """Return a copy of the file's tables with the placeholders' values;
    those not given are 0, this process and this host.
    """
    given = {"host": default_node_name(), "pid": os.getpid(), "worker": 0, **values}
    return {key: _filled(value, given) if key in TABLES else value for key, value in plain.items()}


def _filled(value: Any, given: Mapping[str, object]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, given) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, given) for each in value]
    if isinstance(value, str) and "{" in value:
        for name, replacement in given.items():
            value = value.replace("{" + name + "}", str(replacement))
    return value
