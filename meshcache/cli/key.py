"""`meshcache key`: makes the key that nodes of one mesh share. Shows a key only when asked to."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def key() -> None:
    """The key that makes a node a member of the mesh."""


@key.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def new(file: Path | None) -> None:
    """Make a fresh mesh key in FILE, with mode 0600; without FILE, print it.

    Copy the file to every node over a channel you trust: whoever has it is a member. A file that is there is left
    alone.
    """
    from meshcache.edges.keyfile import create_keyring
    from meshcache.edges.keyring import Keyring

    keyring = Keyring.new()
    if file is None:
        click.echo(keyring.to_toml(), nl=False)
        return
    create_keyring(file, keyring)
    click.echo(f"{file}: new mesh key {keyring.current.fingerprint}, mode 0600; copy it to every node of the mesh")
