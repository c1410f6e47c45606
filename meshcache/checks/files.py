"""Finds every fault in the files that the settings name, VIP by VIP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from meshcache.checks.admin import admin_file_faults, log_faults
from meshcache.checks.certificates import certificate_faults, certificate_notes, names_taken_twice
from meshcache.checks.clients import client_auth_faults, client_auth_notes, disagreeing_authorities
from meshcache.checks.contexts import chain_faults, cipher_faults
from meshcache.checks.copies import copies_notes
from meshcache.checks.exports import export_notes, export_place_faults
from meshcache.checks.folders import socket_folder_faults, state_folder_faults
from meshcache.checks.hooks import hook_faults
from meshcache.checks.single_use import single_use_notes
from meshcache.checks.staples import staple_faults, staple_notes
from meshcache.checks.ticket_keys import ticket_key_notes
from meshcache.checks.tiers import tier_faults
from meshcache.checks.waits import wait_notes
from meshcache.checks.workers import worker_notes
from meshcache.config import Settings, VipSettings
from meshcache.core.policy.gates import ReachKind
from meshcache.edges.keyfile import load_keyring
from meshcache.errors import KeyringError
from meshcache.runtime import state_file
from meshcache.runtime.state_file import StateFileError


def file_faults(settings: Settings) -> list[str]:
    """Return every fault, each as ``place: what is wrong and what would be right``; an empty list when all is well."""
    faults = [*_key_file_faults(settings.mesh.key_file), *_state_dir_faults(settings.node.state_dir)]
    faults += [*socket_folder_faults(settings), *settings.worker_faults()]
    now = datetime.now(UTC)
    for index, vip in enumerate(settings.vips):
        faults += _vip_faults(f"vip[{index}]", vip, now)
    faults += [*admin_file_faults(settings.admin, now), *log_faults(settings.log)]
    shared = [*names_taken_twice(settings.vips), *disagreeing_authorities(settings.vips)]
    shared += [*hook_faults(settings), *tier_faults(settings), *export_place_faults(settings)]
    return [*faults, *shared]


def file_notes(settings: Settings) -> list[str]:
    """Return what is no fault and yet worth knowing: a certificate that ends soon, a reach that nobody answers."""
    now = datetime.now(UTC)
    notes: list[str] = []
    for index, vip in enumerate(settings.vips):
        place = f"vip[{index}]"
        notes += [*certificate_notes(place, vip, now), *staple_notes(place, vip, now)]
        notes += client_auth_notes(place, vip, now)
    return [
        *notes,
        *_one_sided_reaches(settings),
        *worker_notes(settings),
        *export_notes(settings),
        *single_use_notes(settings),
        *copies_notes(settings),
        *wait_notes(settings),
        *ticket_key_notes(settings),
    ]


def _vip_faults(place: str, vip: VipSettings, now: datetime) -> list[str]:
    faults = certificate_faults(place, vip, now)
    if not faults:  # else OpenSSL would say the same once more, in other words
        faults = chain_faults(place, vip)
    return [*faults, *staple_faults(place, vip), *cipher_faults(place, vip), *client_auth_faults(place, vip, now)]


def _key_file_faults(path: Path) -> Iterator[str]:
    try:
        load_keyring(path)
    except KeyringError as error:
        yield f"mesh.key_file: {error}"


def _state_dir_faults(path: Path | None) -> Iterator[str]:
    """Check whether the folder is there, or can be made, and what `serve` reads in it."""
    faults = list(state_folder_faults(path))
    yield from faults
    if path is not None and not faults:
        yield from _policy_file_faults(path)


def _policy_file_faults(state_dir: Path) -> Iterator[str]:
    """Check what `serve` refuses of the live policies that are kept there, also those of workers; what is in them is no
    fault of the file.
    """
    try:
        paths = state_file.policy_files(state_dir)
    except StateFileError as error:
        paths = []
        yield f"node.state_dir: {error}"
    for path in paths:
        try:
            state_file.read(path, 0)
        except StateFileError as error:
            yield f"node.state_dir: {error}"
        except NotADirectoryError:
            continue  # no worker's folder, whatever its name is
        except OSError as error:
            yield f"node.state_dir: {path} can't be read: {(error.strerror or str(error)).lower()}"


def _one_sided_reaches(settings: Settings) -> Iterator[str]:
    for index, vip in enumerate(settings.vips):
        reach = vip.sharing.reach
        if reach.kind is ReachKind.COLOS and settings.node.colo not in reach.colos:
            yield (
                f'vip[{index}].sharing.reach: lists {reach} and not this node\'s own colo "{settings.node.colo}"; if '
                "nodes there have the same list they take nothing from here"
            )
