"""`meshcache check`: every fault of a file and of what it points at. Changes nothing."""

from __future__ import annotations

from pathlib import Path

import click

from meshcache.cli.faults import all_faults, fail
from meshcache.cli.output import print_json, warn
from meshcache.cli.server_steps import server_steps
from meshcache.errors import ConfigError


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="meshcache.toml")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Check with this value instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def check(file: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say everything that is wrong with FILE (meshcache.toml): values, keys, certificates, addresses, names.

    Exits 0 when a server could start with it and 2 when not. While that server is running, its own addresses aren't
    tried.
    """
    import meshcache.hot as hot
    from meshcache.checks import backend_notes, file_notes
    from meshcache.config import load

    try:
        settings = load(file, overrides)
    except ConfigError as error:
        faults, notes = error.faults, []
    else:
        faults, notes = all_faults(settings), file_notes(settings) + backend_notes(settings)
    if as_json:
        print_json(
            {
                "file": str(file),
                "faults": faults,
                "notes": notes,
                "hot_path": hot.path(),
                "server_steps": server_steps(),
            }
        )
    for note in () if as_json else notes:
        warn(note)
    if faults:
        fail(file, [] if as_json else faults)
    if not as_json:
        click.echo(
            f"{file}: fine: {_summary(len(settings.vips))} on node {settings.node.name} in colo {settings.node.colo}"
        )
        if hot.compiled is None:
            warn(f"the hot path is {hot.described()}; handshakes take more CPU")
        elif server_steps() == "python":
            warn(
                "the bundled server's connections are in Python; they take more CPU: install gcc, then meshcache again"
            )


def _summary(vips: int) -> str:
    return "1 VIP" if vips == 1 else f"{vips} VIPs"
