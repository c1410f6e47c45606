"""Looks whether the hooks that the settings name can be had: imports them, and makes none."""

from __future__ import annotations

from collections.abc import Iterator

from meshcache.config import Settings
from meshcache.hooks import Discovery, Hook, Observer, SharingPolicy, Tier
from meshcache.plugins.loading import NotLoadedError, find_hook

_KINDS: dict[str, type[Hook]] = {
    "policies": SharingPolicy,
    "discoveries": Discovery,
    "observers": Observer,
    "tiers": Tier,
}


def hook_faults(settings: Settings) -> list[str]:
    """Return every fault, as ``place: what is wrong``."""
    return list(_faults(settings))


def _faults(settings: Settings) -> Iterator[str]:
    for key, kind in _KINDS.items():
        for at, name in enumerate(getattr(settings.hooks, key)):
            try:
                find_hook(name, kind)
            except NotLoadedError as error:
                yield f"hooks.{key}[{at}]: {error}"
