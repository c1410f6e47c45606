"""Looks whether the hooks that the settings name can be had: imports them, and makes none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from meshcache.config import Settings
from meshcache.hooks import Discovery, Hook, Observer, SharingPolicy, Tier
from meshcache.plugins.loading import NotLoadedError, find_hook
from meshcache.plugins.shared_tiers import defines, shared_tier_faults

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
    found: dict[str, list[tuple[str, Callable[..., Any]]]] = {key: [] for key in _KINDS}
    for key, kind in _KINDS.items():
        for at, name in enumerate(getattr(settings.hooks, key)):
            try:
                found[key].append((name, find_hook(name, kind)))
            except NotLoadedError as error:
                yield f"hooks.{key}[{at}]: {error}"
    yield from shared_tier_faults(_senders(found["policies"]), _shared(settings, found["tiers"]))


def _senders(policies: list[tuple[str, Callable[..., Any]]]) -> list[str]:
    """Return those that say what may be sent. What a function makes is seen when the node starts."""
    return [
        name
        for name, made_by in policies
        if isinstance(made_by, type) and issubclass(made_by, SharingPolicy) and defines(made_by, "may_send")
    ]


def _shared(settings: Settings, tiers: list[tuple[str, Callable[..., Any]]]) -> list[str]:
    """Return the tiers that other nodes read, by the same rule."""
    store = [] if settings.tier.valkey is None else ["valkey"]
    return store + [
        name
        for name, made_by in tiers
        if isinstance(made_by, type) and issubclass(made_by, Tier) and not made_by.private
    ]
