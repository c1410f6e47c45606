"""Makes the hooks that a configuration names: from entry points, or from modules by their path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from meshcache.hooks import ENTRY_POINTS, Hook

Kind = TypeVar("Kind", bound=Hook)


_NO_HOOK = "is no {}: meshcache.hooks has the class to make it of"


class NotLoadedError(Exception):
    """A hook that is named can't be had; the message says why, in words for whoever wrote its name."""


def load_hook(name: str, kind: type[Kind], options: Mapping[str, Any]) -> Kind:
    """Return the hook of this name, made with these options. Raises NotLoadedError."""
    make = find_hook(name, kind)
    try:
        made = make(**options)
    except Exception as error:
        raise NotLoadedError(f"{name} can't be made: {type(error).__name__}: {error}") from error
    if not isinstance(made, kind):
        raise NotLoadedError(f"{name} {_NO_HOOK.format(kind.__name__)}")
    return made


def find_hook(name: str, kind: type[Kind]) -> Callable[..., Kind]:
    """Return what makes the hook of this name, a class or a function; it is imported and not called.
    Raises NotLoadedError.
    """
    try:
        found = _found(name)
    except NotLoadedError:
        raise
    except Exception as error:
        raise NotLoadedError(f"{name} can't be loaded: {type(error).__name__}: {error}") from error
    if not callable(found) or (isinstance(found, type) and not issubclass(found, kind)):
        raise NotLoadedError(f"{name} {_NO_HOOK.format(kind.__name__)}")
    made_by: Callable[..., Kind] = found
    return made_by


def _found(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    if colon:
        return getattr(import_module(module), attribute)
    found = entry_points(group=ENTRY_POINTS, name=name)
    if not found:
        known = ", ".join(sorted(each.name for each in entry_points(group=ENTRY_POINTS))) or "none"
        raise NotLoadedError(f"no package that is installed offers a hook {name}; there is: {known}")
    return next(iter(found)).load()
