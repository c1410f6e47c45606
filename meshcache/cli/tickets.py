"""`meshcache tickets`: the keys of session tickets, as one node has them, and the next one now."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import click

from meshcache.cli.agent import agent
from meshcache.cli.output import clean, print_json
from meshcache.cli.target import Target, asks_a_node
from meshcache.errors import PolicyError
from meshcache.ticket_files.layouts import CONF, FORMATS, Rendered


@click.group()
def tickets() -> None:
    """The keys of session tickets, which the mesh makes, spreads and changes."""


@tickets.command()
@asks_a_node
def show(socket: Path | None, as_json: bool) -> None:
    """The rings that the node is in, and their keys: by name and age, never by value."""
    rings = Target(socket).ask(lambda client: client.tickets())
    if as_json:
        print_json({"rings": rings})
        return
    if not rings:
        click.echo('no VIP here has tickets: all say resumption = "sessions"')
    for ring in rings:
        click.echo("\n".join(map(clean, _lines(ring))))


@tickets.command()
@click.argument("vip")
@asks_a_node
def rotate(socket: Path | None, as_json: bool, vip: str) -> None:
    """Make the next key of a VIP's ring now. Each node uses it as soon as all of the ring have it."""
    done = Target(socket).ask(lambda client: client.rotate_tickets(vip))
    if as_json:
        print_json(done)
    else:
        click.echo(clean(f"VIP {vip}: made key {done['generation']}; the former ones still open their tickets"))


@tickets.command()
@click.argument("vip")
@click.option(
    "--format", "server", type=click.Choice(FORMATS), required=True, help="The kind of server that reads them."
)
@click.option("--path", type=click.Path(path_type=Path), required=True, help="nginx: a folder; others: a file.")
@click.option("--owner", help="Give the files to this user (as root).")
@click.option("--group", help="Let this group read the files.")
@asks_a_node
def export(
    socket: Path | None, as_json: bool, vip: str, server: str, path: Path, owner: str | None, group: str | None
) -> None:
    """Write a VIP's keys of this moment for a server of another kind, mode 0600.

    Once: [[tickets.export]] in the node's file keeps them up, and `meshcache tickets agent` is a node for that alone.
    """
    from meshcache.ticket_files.places import ExportPlace, PlaceError

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the keys are in this process too, for a moment
    path = path.absolute()
    folder, target = (path, CONF) if server == "nginx" else (path.parent, path.name)
    place = ExportPlace(server, folder, target, owner, group)
    try:
        place.check()
        files, keys = Target(socket).ask(lambda client: client.export_tickets(vip, server, path))
        place.write(Rendered(files, ()))
        place.tidy(Rendered(files, ()))
    except PlaceError as error:
        raise PolicyError(f"--path: {error}") from None
    if as_json:
        print_json({"path": str(place.file), "keys": keys})
    else:
        click.echo(clean(f"{place.file}: keys {', '.join(keys)}; nothing was told to the server"))


tickets.add_command(agent)


def _lines(ring: dict[str, Any]) -> list[str]:
    nodes = ", ".join(ring["nodes"]) if ring["shared"] else "this process alone"
    head = f"group {ring['group']}, ring {ring['ring']}: VIP {', '.join(ring['vips'])}; {nodes}"
    if not ring["keys"]:
        return [head, f"  no key yet; the next is made by {ring['next_by']}"]
    later = f"  next key in {ring['next_in_s']:.0f} s, made by {ring['next_by']}"
    return [head, *map(_line, ring["keys"]), later]


def _line(key: dict[str, Any]) -> str:
    without = f", not known to be with {', '.join(key['without'])}" if key["without"] else ""
    times = f"{key['age_s']:.0f} s old, wiped in {key['wiped_in_s']:.0f} s"
    return f"  {key['state']:<8}  {key['name']}…  key {key['generation']}, {times}{without}"
