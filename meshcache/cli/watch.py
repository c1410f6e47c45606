"""`meshcache stats --watch`: the same node, read once a second, shown as rates over the last seconds.

Goes on while the node is away, and says so. Changes nothing at the node; leaves the terminal as it was.
"""

from __future__ import annotations

import json
import os
import select
import sys
import termios
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, Final

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from meshcache.cli.following import AWAY, answers, trouble
from meshcache.cli.front_view import front_lines
from meshcache.cli.output import clean, colours, plain_table
from meshcache.cli.view import RATES, elapsed_s, gossip_rates, heading, rate_rows, warnings

PERIOD_S: Final = 1.0

WINDOW_S: Final = 5.0
"""Rates are over this long: steady enough to read, short enough to see a change."""

TOLD_S: Final = 60.0
"""Trouble stays on the screen this long, so that whoever looked away for a moment still sees it."""

READINGS_MAX: Final = 64
"""One a second for as long as trouble is told; when keys make readings come faster they reach back less far."""

QUIT_KEYS: Final = frozenset(b"qQ\x03\x04")
"""q, and what Ctrl-C and Ctrl-D send where the terminal doesn't take them."""

Read = Callable[[], dict[str, Any]]


class Readings:
    """The last minute of one node."""

    def __init__(self, first: dict[str, Any]) -> None:
        self._kept: deque[dict[str, Any]] = deque([first], maxlen=READINGS_MAX)
        self.trouble: str | None = None

    def add(self, stats: dict[str, Any]) -> None:
        """Take a reading; a node that began anew begins anew here, or its rates would be negative."""
        if stats["node"]["uptime_s"] < self.newest["node"]["uptime_s"]:
            self._kept.clear()
        self._kept.append(stats)
        self.trouble = None

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def newest(self) -> dict[str, Any]:
        return self._kept[-1]

    def before(self, seconds: float) -> dict[str, Any]:
        """Return the reading from this long before the newest, or the first there is."""
        earlier = (stats for stats in reversed(self._kept) if elapsed_s(stats, self.newest) >= seconds)
        return next(earlier, self._kept[0])


def on_terminal(first: dict[str, Any], read: Read) -> None:
    """Show the node on the whole terminal until q or Ctrl-C."""
    readings = Readings(first)
    console = Console(no_color=not colours(), highlight=False)
    with keys_at_once(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(frame(readings, console.size.height), refresh=True)
            if quit_within(PERIOD_S):
                return
            _read_into(readings, read)


def as_lines(first: dict[str, Any], read: Read) -> None:
    """Print one JSON object a line, once a second, until the reader or Ctrl-C ends it; none while the node is away."""
    with suppress(KeyboardInterrupt):
        for stats in chain([first], answers(read, PERIOD_S)):
            click.echo(json.dumps(stats, ensure_ascii=False))


def frame(readings: Readings, height: int) -> Group:
    """One screen: who, VIP by VIP, the mesh, warnings; as many VIPs as fit above the rest."""
    before, after = readings.before(WINDOW_S), readings.newest
    title, *rows = plain_table(RATES, [[clean(cell) for cell in row] for row in rate_rows(before, after)]).split("\n")
    told = [_warning(line) for line in warnings(after, readings.before(TOLD_S))]
    if readings.trouble is not None:
        told.insert(0, _warning(readings.trouble))
    told = told[: max(height // 3, 1)]
    below = [gossip_rates(before, after), *front_lines(after)]
    room = max(height - len(told) - len(below) - 4, 1)
    if len(rows) > room:
        rows = [*rows[: room - 1], f"and {len(rows) - room + 1} quieter VIPs"]
    lines = [_line(heading(after)), _line(title, "bold"), *map(_line, rows), *map(_line, below), *told]
    return Group(*lines, _line("q to quit", "dim"))


def _read_into(readings: Readings, read: Read) -> None:
    try:
        readings.add(read())
    except AWAY as error:
        readings.trouble = trouble(error)


def _line(text: str, style: str = "") -> Text:
    return Text(clean(text), style=style, no_wrap=True, overflow="ellipsis")


def _warning(text: str) -> Text:
    return _line(f"! {text}", "bold yellow")


@contextmanager
def keys_at_once() -> Iterator[None]:
    """Let keys arrive without Enter and unshown; however this ends, the terminal is as before (termios(3))."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    except KeyboardInterrupt:
        pass  # Ctrl-C is a way to end a watch, not a failure
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def quit_within(seconds: float) -> bool:
    """Return whether somebody asks to end within this time; other keys only bring the next reading forward."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    if not ready:
        return False
    keys = os.read(sys.stdin.fileno(), 64)
    return not keys or bool(QUIT_KEYS & set(keys))
