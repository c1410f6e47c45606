"""`meshcache events`: what happened on a node: peers, islands, policies, recalls; as a list or as it goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from meshcache.admin.client import AdminClient
from meshcache.cli.figures import duration
from meshcache.cli.following import answers
from meshcache.cli.output import clean, colours, print_json
from meshcache.cli.target import Target, asks_a_node

PERIOD_S: Final = 1.0


@click.command()
@click.option("--follow", is_flag=True, help="Go on as things happen, until Ctrl-C; with --json one line an event.")
@asks_a_node
def events(socket: Path | None, as_json: bool, follow: bool) -> None:
    """Show what happened on a node since it began: the last thousand events, oldest first."""
    target = Target(socket)
    uptime_s, found = target.ask(lambda client: _read(client, 0))
    if as_json and not follow:
        print_json(found)
        return
    if not found and not follow:
        click.echo("no events: nothing has happened since this node began")
    _print(found, as_json)
    if follow:
        with suppress(KeyboardInterrupt):
            for later in _later(target, uptime_s, found[-1]["seq"] if found else 0):
                _print(later, as_json)


def _later(target: Target, uptime_s: float, seen: int) -> Iterator[list[dict[str, Any]]]:
    """Yield what happens from now on, a second at a time.
    Numbers begin anew with a node that restarts, and so does this.
    """

    def read() -> list[dict[str, Any]]:
        nonlocal uptime_s, seen
        now_s, found = target.ask(partial(_read, since=seen))
        if now_s < uptime_s:
            now_s, found = target.ask(partial(_read, since=0))
        uptime_s, seen = now_s, found[-1]["seq"] if found else seen
        return list(found)

    return answers(read, PERIOD_S)


def _read(client: AdminClient, since: int) -> tuple[float, list[dict[str, Any]]]:
    return float(client.stats()["node"]["uptime_s"]), client.events(since)


def _print(found: list[dict[str, Any]], as_json: bool) -> None:
    for event in found:
        if as_json:
            click.echo(json.dumps(event, ensure_ascii=False))
        else:
            click.echo(_line(event))


def _line(event: dict[str, Any]) -> str:
    """Return when, in the node's own time, and what; warnings stand out, with a mark for those who see no colours."""
    warning = event.get("level") == "warning"
    line = clean(f"{duration(event.get('at_s')):>8} {'!' if warning else ' '} {event.get('text')}")
    return click.style(line, fg="yellow", bold=True) if warning and colours() else line
