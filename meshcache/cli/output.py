"""How results are shown: JSON for programs, tables on a terminal, aligned plain text everywhere else.

Names come from other machines: nothing in them is taken for markup, and no control character reaches the terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import click


class Column(NamedTuple):
    """A column's title, and whether its cells are numbers, which stand at the right."""

    title: str
    number: bool = False


Row = Sequence[str]


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Print rows as a table: drawn on a terminal, aligned plain text elsewhere."""
    rows = [[clean(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(columns, rows)
    else:
        click.echo(plain_table(columns, rows))


def plain_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Aligned text with two blanks between columns, so that `awk` and eyes find their way."""
    lines = [[column.title for column in columns], *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column.number else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    )


def clean(text: object) -> str:
    """Text without anything that a terminal could take for a command."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def colours() -> bool:
    """Return whether colours are welcome (no-color.org: any non-empty value of NO_COLOR says no)."""
    return not os.environ.get("NO_COLOR")


def warn(text: str) -> None:
    """Print a line that stands out from the rest, with ``!`` for those who see no colours."""
    line = f"! {clean(text)}"
    click.echo(click.style(line, fg="yellow", bold=True) if colours() else line)


def _print_rich(columns: Sequence[Column], rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.title, justify="right" if column.number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(no_color=not colours(), highlight=False).print(table)
