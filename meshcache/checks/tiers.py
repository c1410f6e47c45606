"""Looks whether the tiers that the settings ask for can be had: their packages, and the folder. Makes none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from meshcache.config import Settings
from meshcache.config.tiers import DiskTierSettings, ValkeyTierSettings
from meshcache.hooks import TierError
from meshcache.tiers.lmdb_folder import objection
from meshcache.tiers.secret_file import read_secret


def tier_faults(settings: Settings) -> list[str]:
    """Return every fault, as ``place: what is wrong``."""
    return list(_faults(settings))


def _faults(settings: Settings) -> Iterator[str]:
    if settings.tier.disk is not None:
        yield from _disk_faults(settings.tier.disk)
    if settings.tier.valkey is not None:
        yield from _valkey_faults(settings.tier.valkey)


def _valkey_faults(told: ValkeyTierSettings) -> Iterator[str]:
    if find_spec("valkey") is None:
        yield 'tier.valkey: needs the package valkey: pip install "meshcache[valkey]"'
    if told.password_file is not None:
        try:
            read_secret(told.password_file)
        except TierError as error:
            yield f"tier.valkey.password_file: {error}"
    for key in ("ca_file", "certificate", "private_key"):
        path = getattr(told, key)
        if path is not None and not os.access(path, os.R_OK):
            yield f"tier.valkey.{key}: {path} can't be read"


def _disk_faults(disk: DiskTierSettings) -> Iterator[str]:
    if find_spec("lmdb") is None:
        yield 'tier.disk: needs the package lmdb: pip install "meshcache[disk]"'
    assert disk.path is not None, "settings fill it in"
    folder = _first_that_is(disk.path)
    if not folder.is_dir():
        yield f"tier.disk.path: {folder} is a file, and a folder is needed there"
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"tier.disk.path: {folder} can't be written by this user"
    elif folder == disk.path and (why := objection(folder, _taken_by(folder))) is not None:
        yield f"tier.disk.path: {why}"


def _taken_by(folder: Path) -> int:
    """Return who is to take a folder: this user, but root may look at a file for the user that the node runs as."""
    return os.geteuid() or folder.stat().st_uid


def _first_that_is(path: Path) -> Path:
    """Return the path, or the nearest of the folders above it that is there already."""
    return next((each for each in (path, *path.parents) if each.exists()), Path("/"))
