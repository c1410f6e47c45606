"""`meshcache reload`: let a running server take its file again, and say what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from meshcache.cli.output import clean, print_json, warn
from meshcache.cli.target import Target, asks_a_node

FAILED = 1


@click.command("reload")
@asks_a_node
def reload_file(socket: Path | None, as_json: bool) -> None:
    """Let the server take its file again, with its certificates and keys, as SIGHUP does.

    Takes everything or nothing: exits with 1, and names every fault, when the server goes on as before.
    """
    done: dict[str, Any] = Target(socket).ask(lambda client: client.reload())
    if as_json:
        print_json(done)
    elif done["ok"]:
        click.echo("reloaded; changed: " + (", ".join(map(clean, done["changed"])) or "nothing in the file"))
        if done["restart"]:
            warn("only a restart changes " + ", ".join(map(clean, done["restart"])))
        for hidden in done.get("hidden", []):
            warn(f"{clean(hidden)} stays as it was set live, until `meshcache policy unset` ends that")
    else:
        click.echo("not reloaded, the server goes on as before:", err=True)
        for fault in done["faults"]:
            click.echo(f"  {clean(fault)}", err=True)
    if not done["ok"]:
        raise click.exceptions.Exit(FAILED)
