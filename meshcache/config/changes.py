"""Names the keys that differ between two configurations, as an operator would look for them in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from meshcache.config.settings import Settings

RESTART_ONLY = (
    *("node.", "admin.", "log.", "hooks.", "tier.", "mesh.name", "mesh.listen", "mesh.advertise"),
    *("mesh.worker_ports", "server.workers"),
)
"""What a running node can't change."""


def changed_keys(before: Settings, after: Settings) -> list[str]:
    """Return each key whose value differs, ``vip.shop.idle_timeout_s``;
    VIPs by name, so that their order is no change.
    """
    return sorted(set(_differences(_plain(before), _plain(after), "")))


def needs_restart(keys: list[str]) -> list[str]:
    """Those of `keys` that a running node leaves as they are."""
    return [key for key in keys if key.startswith(RESTART_ONLY)]


def _plain(settings: Settings) -> dict[str, Any]:
    return _fields(settings) | {"vip": {vip.name: vip for vip in settings.vips}}


def _fields(table: BaseModel) -> dict[str, Any]:
    return {name: getattr(table, name) for name in type(table).model_fields if name != "vips"}


def _differences(one: Any, other: Any, place: str) -> Iterator[str]:
    if isinstance(one, BaseModel) and isinstance(other, BaseModel):
        one, other = _fields(one), _fields(other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in one.keys() | other.keys():
            yield from _differences(one.get(key), other.get(key), f"{place}.{key}".removeprefix("."))
    elif one != other:
        yield place
