"""What `check` and `serve` have in common: find every fault of a configuration, and tell them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from meshcache.cli.output import clean

if TYPE_CHECKING:
    from meshcache.config import Settings

MISUSED = 2


def all_faults(settings: Settings, held: Collection[str] = (), *, replaces: bool = False) -> list[str]:
    """Everything wrong with what `settings` point at, as found on this machine now.

    The addresses of a node that is running are in use by itself, so they are left out then; `check` before a reload
    would find nothing else. A process that `replaces` it looks at all but those that are `held` for it.
    """
    from meshcache.checks import address_faults, backend_faults, file_faults

    faults = file_faults(settings) + backend_faults(settings)
    if not replaces and is_running(settings):
        return faults
    return faults + address_faults(settings, held, replaces=replaces)


def is_running(settings: Settings) -> bool:
    """Return whether the node of these settings answers at its admin socket."""
    from meshcache.admin.client import AdminClient
    from meshcache.errors import AdminError

    if settings.admin.socket is None:
        return False
    try:
        return bool(AdminClient(settings.admin.socket).stats()["node"]["name"] == settings.node.name)
    except (AdminError, LookupError, TypeError):
        return False


def fail(file: Path, faults: Sequence[str]) -> NoReturn:
    """Tell the faults of `file` on standard error and exit with 2."""
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        click.echo(f"{file}: {count}:", err=True)
    for fault in faults:
        click.echo(f"  {clean(fault)}", err=True)
    raise click.exceptions.Exit(MISUSED)
