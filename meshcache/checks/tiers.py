"""Looks whether the tiers that the settings ask for can be had: their packages, and the folder. Makes none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from meshcache.config import Settings


def tier_faults(settings: Settings) -> list[str]:
    """Return every fault, as ``place: what is wrong``."""
    return list(_faults(settings))


def _faults(settings: Settings) -> Iterator[str]:
    disk = settings.tier.disk
    if disk is None:
        return
    if find_spec("lmdb") is None:
        yield 'tier.disk: needs the package lmdb: pip install "meshcache[disk]"'
    assert disk.path is not None, "settings fill it in"
    folder = _first_that_is(disk.path)
    if not folder.is_dir():
        yield f"tier.disk.path: {folder} is a file, and a folder is needed there"
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"tier.disk.path: {folder} can't be written by this user"


def _first_that_is(path: Path) -> Path:
    """Return the path, or the nearest of the folders above it that is there already."""
    return next((each for each in (path, *path.parents) if each.exists()), Path("/"))
