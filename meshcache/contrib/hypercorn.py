"""Hypercorn: ``join(config, …)`` for a Config that a program makes, and `Config` to begin with. Any worker class.

config = join(Config.from_toml("hypercorn.toml"), "meshcache.toml", vip="shop")
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from meshcache.contrib.mesh import Mesh

Config = TypeVar("Config")


def join(config: Config, file: str | Path, *, vip: str | None = None, required: bool = False) -> Config:
    """Let the contexts that a hypercorn Config makes join, in each worker that serves with it."""
    target: Any = config
    target.create_ssl_context = _Create(type(config).create_ssl_context, config, Mesh(file, vip=vip, required=required))  # type: ignore[attr-defined]
    return config


@dataclass
class _Create:
    """Takes the place of a method: hypercorn pickles its Config for the workers, and so this with it."""

    make: Callable[[Any], ssl.SSLContext | None]
    config: Any
    mesh: Mesh

    def __call__(self) -> ssl.SSLContext | None:
        context = self.make(self.config)
        return None if context is None else self.mesh.join(context)
