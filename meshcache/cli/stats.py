"""`meshcache stats`: how a node's clients resume, once as totals or as it goes as rates."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from meshcache.cli.front_view import front_lines
from meshcache.cli.output import clean, print_json, print_table, warn
from meshcache.cli.target import Target, asks_a_node
from meshcache.cli.view import TOTALS, gossip_totals, heading, remarks, total_rows, warnings


@click.command()
@click.option("--vip", metavar="NAME", help="Only this VIP.")
@click.option("--mesh", is_flag=True, help="All nodes of the mesh, asked through this one.")
@click.option("--watch", is_flag=True, help="Go on, once a second, until q or Ctrl-C; with --json one line a second.")
@asks_a_node
def stats(vip: str | None, mesh: bool, watch: bool, socket: Path | None, as_json: bool) -> None:
    """Show how a node's clients resume: from its own cache, through the mesh, or not at all."""
    target = Target(socket)
    if mesh:
        from meshcache.cli import wide

        wide.show(lambda: target.ask(lambda client: client.mesh()), vip=vip, watch=watch, as_json=as_json)
        return

    def read() -> dict[str, Any]:
        return only_vip(target.ask(lambda client: client.stats()), vip)

    first = read()  # whatever is wrong is told before a screen is cleared
    if watch:
        _watch(first, read, as_json)
    elif as_json:
        print_json(first)
    else:
        _show(first)


def only_vip(stats: dict[str, Any], vip: str | None) -> dict[str, Any]:
    """Return the same stats with one VIP only. Raises click's UsageError, with the nearest name, when there is none."""
    if vip is None:
        return stats
    names = list(stats["vips"])
    if vip not in names:
        close = get_close_matches(vip, names, n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"it has {', '.join(names) or 'none'}"
        raise click.UsageError(f'node {stats["node"]["name"]} has no VIP "{vip}"; {hint}')
    return {**stats, "vips": {vip: stats["vips"][vip]}}


def _watch(first: dict[str, Any], read: Any, as_json: bool) -> None:
    from meshcache.cli import watch

    if as_json:
        watch.as_lines(first, read)
    elif sys.stdin.isatty() and sys.stdout.isatty():
        watch.on_terminal(first, read)
    else:
        raise click.UsageError("--watch needs a terminal; programs use --watch --json, which prints one line a second")


def _show(stats: dict[str, Any]) -> None:
    click.echo(clean(heading(stats)))
    print_table(TOTALS, total_rows(stats))
    for line in (gossip_totals(stats), *front_lines(stats)):
        click.echo(clean(line))
    for line in remarks(stats):
        click.echo(clean(line))
    for line in warnings(stats):
        warn(line)
