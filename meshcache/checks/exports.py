"""Looks at where ticket keys for other servers are to go, and at what makes those read them; runs nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from meshcache.config import ExportSettings, Settings
from meshcache.runtime.contexts.guessed_facts import guessed_facts
from meshcache.ticket_files.layouts import HAPROXY_KEYS
from meshcache.ticket_files.places import ExportPlace, PlaceError, memory_fault


def export_place_faults(settings: Settings) -> list[str]:
    """Return every fault, as ``place: what is wrong``."""
    return [fault for at, export in enumerate(settings.tickets.export) for fault in _faults(settings, at, export)]


def export_notes(settings: Settings) -> list[str]:
    """Return what is no fault and yet worth knowing."""
    return [note for at, export in enumerate(settings.tickets.export) for note in _notes(settings, at, export)]


def _faults(settings: Settings, at: int, export: ExportSettings) -> Iterator[str]:
    try:
        ExportPlace.of(export).check()
    except PlaceError as error:
        yield f"tickets.export[{at}].path: {error}"
    if export.command and shutil.which(export.command[0]) is None:
        yield f"tickets.export[{at}].command: there is no program {export.command[0]} that this user can run"
    vip = settings.vip(export.vip)
    if vip is not None and not vip.listen and guessed_facts(vip) is None:
        yield (
            f'tickets.export[{at}].vip: what VIP "{vip.name}" is bound to can\'t be told from the file: with '
            'sharing.bind = "certificate" name its certificate and private_key, and leave more_certificates out'
        )


def _notes(settings: Settings, at: int, export: ExportSettings) -> Iterator[str]:
    vip = settings.vip(export.vip)
    kind = memory_fault(export.path)
    if kind is not None:
        yield (
            f"tickets.export[{at}].path: {export.path} is on a disk ({kind}), where former keys may stay readable "
            "after they are deleted; a folder below /run is in memory"
        )
    if not export.command and export.haproxy_socket is None:
        yield f"tickets.export[{at}]: nothing tells the server of new keys: give command, or see that it reads them"
    if export.haproxy_socket is not None and not os.path.exists(export.haproxy_socket):  # noqa: PTH110
        yield f"tickets.export[{at}].haproxy_socket: there is no {export.haproxy_socket} now; HAProxy makes it"
    if vip is not None and export.format == "haproxy" and vip.sharing.lifetime_s > vip.sharing.rotate_s:
        yield (
            f"tickets.export[{at}].format: HAProxy keeps {HAPROXY_KEYS} keys, so a ticket there is good for rotate_s "
            f"({vip.sharing.rotate_s:g} s) at most, and lifetime_s is {vip.sharing.lifetime_s:g} s"
        )
    if export.format == "openssl":
        yield (
            f"tickets.export[{at}].format: OpenSSL's own interface holds one key, so every ticket ends when the key "
            "changes"
        )
