"""`meshcache tickets agent`: a node beside a server of another kind, for that server's ticket keys alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshcache.cli.serve import run_file

if TYPE_CHECKING:
    from meshcache.config import Settings


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="meshcache.toml")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Use this value instead of the file's.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Of messages; default: text.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", help="Default: info."
)
def agent(file: Path, overrides: tuple[str, ...], log_format: str, log_level: str) -> None:
    """Keep the ticket keys of servers beside this node, as [[tickets.export]] in FILE says, until SIGTERM or Ctrl-C.

    Nothing is listened on but the mesh. It is ready when the key files are there, or it has said why not, so start the
    other server after it; when it ends, the files stay as they are. SIGHUP rereads FILE. Exits with 2, and writes
    nothing, when anything is wrong with FILE or with a place that keys should go to.
    """
    run_file(file, overrides, _objection, log_format=log_format, log_level=log_level)


def _objection(settings: Settings) -> str | None:
    listening = next((at for at, vip in enumerate(settings.vips) if vip.listen), None)
    if listening is not None:
        return (
            f"vip[{listening}].listen: an agent listens on nothing; use `meshcache serve`, which keeps the keys of "
            "other servers as well, or leave it out"
        )
    if not settings.tickets.export:
        return "tickets.export: there is none, so no server gets keys; add [[tickets.export]] with vip, format and path"
    return None
