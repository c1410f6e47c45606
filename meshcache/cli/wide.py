"""`meshcache stats --mesh`: every node of the mesh on one page, asked through any one of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any, Final

import click

from meshcache.cli.figures import count, cropped, percent
from meshcache.cli.following import AWAY, answers, trouble
from meshcache.cli.output import Column, clean, colours, plain_table, print_json, print_table, warn

PERIOD_S: Final = 2.0
"""Between two questions to the whole mesh; each costs every node a message or two."""

COLUMNS: Final = (
    Column("node"),
    Column("colo"),
    Column("VIP"),
    Column("handshakes", number=True),
    Column("resumed", number=True),
    Column("from peers", number=True),
    Column("entries", number=True),
)

NAME_CHARS: Final = 16
"""Of a name in the table, so that the figures beside it keep their 80 columns."""

Read = Callable[[], dict[str, Any]]


def show(read: Read, *, vip: str | None, watch: bool, as_json: bool) -> None:
    """Show all nodes once, or go on until q or Ctrl-C."""
    first = _only(read(), vip)
    if not watch:
        print_json(first) if as_json else _show(first)
    elif as_json:
        _lines(first, lambda: _only(read(), vip))
    elif sys.stdin.isatty() and sys.stdout.isatty():
        _on_terminal(first, lambda: _only(read(), vip))
    else:
        raise click.UsageError("--watch needs a terminal; programs use --watch --json, which prints one line a time")


def rows(mesh: dict[str, Any]) -> list[list[str]]:
    """One row for each VIP of each node, under `COLUMNS`, and the sum of all."""
    found = [_row(node["name"], node["colo"], name, vip) for node, name, vip in _each(mesh)]
    if len(found) > 1:
        totals = [vip for _, _, vip in _each(mesh)]
        ends = {end: sum(vip["handshakes"][end] for vip in totals) for end in ("full", "local", "remote")}
        found.append(_row("all", "", "", {"handshakes": ends, "entries": sum(vip["entries"] for vip in totals)}))
    return found


def warnings(mesh: dict[str, Any]) -> list[str]:
    """Return nodes that didn't answer, and hits that did not resume."""
    silent = [f"{node}: no answer in time" for node in mesh["silent"]]
    missed = ((node["name"], name, vip["lookups"]["hit_not_resumed"]) for node, name, vip in _each(mesh))
    return silent + [f"{node}: {name}: {count(n)} lookups hit and did not resume" for node, name, n in missed if n]


def _each(mesh: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    for node in mesh["nodes"]:
        for name, vip in sorted(node["vips"].items()):
            yield node, name, vip


def _row(node: str, colo: str, name: str, vip: dict[str, Any]) -> list[str]:
    ends = vip["handshakes"]
    done = ends["full"] + ends["local"] + ends["remote"]
    resumed, from_peers = percent(ends["local"] + ends["remote"], done), percent(ends["remote"], done)
    names = (cropped(text, NAME_CHARS) for text in (node, colo, name))
    return [*names, count(done), resumed, from_peers, count(vip["entries"])]


def _only(mesh: dict[str, Any], vip: str | None) -> dict[str, Any]:
    if vip is None:
        return mesh
    if not any(vip in node["vips"] for node in mesh["nodes"]):
        known = sorted({name for node in mesh["nodes"] for name in node["vips"]})
        raise click.UsageError(f'no node that answered has a VIP "{vip}"; there is {", ".join(known) or "none"}')
    nodes = [{**node, "vips": {name: of for name, of in node["vips"].items() if name == vip}} for node in mesh["nodes"]]
    return {**mesh, "nodes": [node for node in nodes if node["vips"]]}


def _show(mesh: dict[str, Any]) -> None:
    print_table(COLUMNS, rows(mesh))
    for line in warnings(mesh):
        warn(line)


def _lines(first: dict[str, Any], read: Read) -> None:
    with suppress(KeyboardInterrupt):
        for mesh in chain([first], answers(read, PERIOD_S)):
            click.echo(json.dumps(mesh, ensure_ascii=False))


def _on_terminal(mesh: dict[str, Any], read: Read) -> None:
    from rich.console import Console
    from rich.live import Live

    from meshcache.cli.watch import keys_at_once, quit_within

    told: list[str] = []
    console = Console(no_color=not colours(), highlight=False)
    with keys_at_once(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_screen(mesh, told, console.size.height), refresh=True)
            if quit_within(PERIOD_S):
                return
            try:
                mesh, told = read(), []
            except AWAY as error:
                told = [trouble(error)]


def _screen(mesh: dict[str, Any], away: list[str], height: int) -> Any:
    from rich.text import Text

    told = (away + warnings(mesh))[: max(height // 3, 1)]
    title, *lines = plain_table(COLUMNS, [[clean(cell) for cell in row] for row in rows(mesh)]).split("\n")
    room = max(height - len(told) - 3, 1)
    if len(lines) > room:
        shown = lines[: max(room - 2, 0)]
        lines = [*shown, f"and {len(lines) - len(shown) - 1} more", lines[-1]]
    text = Text(title, style="bold", no_wrap=True, overflow="ellipsis")
    text.append("".join(f"\n{line}" for line in lines), style="not bold")
    text.append("".join(f"\n! {clean(line)}" for line in told), style="bold yellow")
    return text.append("\nq to quit", style="dim")
