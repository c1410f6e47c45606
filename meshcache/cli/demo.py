"""`meshcache demo`: starts the demo of `meshcache.demo`, and has no part in it."""

from __future__ import annotations

import click


@click.command()
@click.option("--keep", is_flag=True, help="Stay up afterwards, and say what to try next.")
def demo(keep: bool) -> None:
    """A whole mesh on this machine: two colos of three servers, real clients, and a verdict. Takes under a minute."""
    from meshcache.demo import run

    raise click.exceptions.Exit(run(keep=keep))
