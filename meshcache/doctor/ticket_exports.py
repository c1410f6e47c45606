"""Looks at the ticket keys that other servers get: by what a running node tells, else by the files themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from meshcache.config import Settings
from meshcache.doctor.finding import Finding, fine, note, problem
from meshcache.ticket_files.places import ExportPlace

STALE_S: Final = 5.0
"""A change is with the server within a second or two; a reload may take some."""


def export_findings(exports: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """One for each export that isn't well; one for all when all are."""
    unwell = [finding for export in exports for finding in _of(export)]
    if exports and not unwell:
        names = f"{exports[0]['vip']} for {exports[0]['format']}" if len(exports) == 1 else f"{len(exports)}, all"
        yield fine("ticket keys for other servers", f"{names}: as the mesh has them")
    yield from unwell


def left_alone_findings(settings: Settings) -> Iterator[Finding]:
    """Of a node that wasn't found: whose servers go on with keys that nobody changes, unless it runs elsewhere."""
    for export in settings.tickets.export:
        vip = settings.vip(export.vip)
        with suppress(OSError):
            age_s = time.time() - ExportPlace.of(export).file.stat().st_mtime
            if vip is not None and age_s > vip.sharing.rotate_s:
                yield problem(
                    f"ticket keys of VIP {export.vip} for {export.format}",
                    f"those in {export.path} are {age_s / 3600:.1f} h old, and no node was found that changes them",
                    "start the node, if it doesn't run: whoever gets a key opens all that was encrypted with it, the "
                    "longer the more",
                )


def _of(export: Mapping[str, Any]) -> Iterator[Finding]:
    name = f"ticket keys of VIP {export['vip']} for {export['format']}"
    if export["state"] == "refused":
        yield problem(name, export["why"], "take [[tickets.export]] out of the file, or widen the VIP's reach")
    elif export["state"] == "failing":
        stale = f"; for {export['stale_s']:.0f} s it hasn't had what it should have" if export["stale_s"] else ""
        yield problem(name, f"{export['why']} ({export['failed']} times){stale}", "mend that; it is tried again")
    elif export["stale_s"] > STALE_S:
        yield problem(name, f"on their way for {export['stale_s']:.0f} s", "look whether its command hangs")
    elif export["state"] == "waiting":
        yield note(name, "there is no key yet", "a node alone makes one within seconds; see `meshcache tickets show`")
    elif export["left_out"]:
        yield note(name, f"{export['left_out']} keys that still open have no place there: full handshakes", "")
