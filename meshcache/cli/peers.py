"""`meshcache peers`: the other nodes, as one node sees them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from meshcache.cli.figures import NONE, ago, count, milliseconds
from meshcache.cli.output import Column, print_json, print_table, warn
from meshcache.cli.target import Target, asks_a_node
from meshcache.cli.view import peer_warnings

COLUMNS = (
    Column("peer"),
    Column("colo"),
    Column("state"),
    Column("round trip", number=True),
    Column("queue", number=True),
    Column("last seen", number=True),
    Column("address"),
    Column("link"),
)


@click.command()
@asks_a_node
def peers(socket: Path | None, as_json: bool) -> None:
    """Show the other nodes of the mesh: their state, how far they are, and what waits for them."""
    found = Target(socket).ask(lambda client: client.peers())
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("no peers: no other node of this mesh was found yet")
        return
    print_table(COLUMNS, [_row(peer) for peer in found])
    workers = Counter(str(peer["host"]) for peer in found if peer.get("host", peer.get("name")) != peer.get("name"))
    for host, number in workers.items():
        click.echo(f"{host}: {number} of its workers are peers")
    for line in peer_warnings(found):
        warn(line)


def _row(peer: dict[str, Any]) -> list[str]:
    return [
        str(peer.get("name")),
        str(peer.get("colo")),
        str(peer.get("state")),
        milliseconds(peer.get("rtt_ms")),
        count(peer.get("queue")),
        ago(peer.get("last_seen_s")),
        str(peer.get("address") or NONE),
        str(peer.get("link") or NONE),
    ]
