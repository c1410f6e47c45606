"""How the demo looks: tables and marks, coloured on a terminal and plain elsewhere. Judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from meshcache.demo.files import SERVERS, Endpoint
from meshcache.demo.trials import Trial

_STYLES = {"full": "yellow", "local": "cyan", "remote": "green", "pulled": "green"}

_COUNTED = ("full", "local", "remote", "made", "pushed", "received", "refused", "cached")

_FAILURES_SHOWN = 8


class Stagehand:
    """Prints the demo onto one console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._plain = not console.is_terminal

    def title(self) -> None:
        self.console.print()
        self.console.print(Text("meshcache demo", style="bold"), "six servers, two colos, one machine", sep="  ")
        self.console.print("A TLS client that met one server comes back to another. Does it resume?")

    def act(self, number: int, heading: str, explanation: str = "") -> None:
        self.console.print()
        self.console.print(Text(f"{number}  {heading}", style="bold"))
        if explanation:
            self.console.print(Text(explanation, style="" if self._plain else "dim"))

    def line(self, held: bool, text: str) -> None:
        mark = Text("ok" if self._plain else "✓", style="green") if held else Text("FAILED", style="bold red")
        self.console.print(mark, Text(text))

    def remark(self, text: str) -> None:
        self.console.print(Text(text))

    def matrix(self, trials: Sequence[Trial]) -> None:
        """Server against server: rows made the sessions, columns were tried."""
        table = self._table("session made on")
        for server in SERVERS:
            table.add_column(f"{server.name}\n{server.colo}", justify="center")
        rows = {trial.expectation.made.server: None for trial in trials}
        for made in rows:
            cells = [
                [t for t in trials if t.expectation.made.server == made and t.expectation.tried.server == there]
                for there in SERVERS
            ]
            table.add_row(f"{made.name}  {made.colo}", *map(_cell, cells))
        self.console.print(table)

    def borders(self, trials: Sequence[Trial]) -> None:
        table = self._table("session made on", "comes back to", "handshake", "because")
        for expectation in dict.fromkeys(trial.expectation for trial in trials):
            outcome = _cell([trial for trial in trials if trial.expectation == expectation])
            table.add_row(_place(expectation.made), _place(expectation.tried), outcome, expectation.why)
        self.console.print(table)

    def stats(self, stats: dict[str, dict[str, Any] | None]) -> None:
        """Print a line for each server; None stands for the one that was killed."""
        table = self._table("server")
        for heading in _COUNTED:
            table.add_column(heading, justify="right")
        for name, counted in stats.items():
            table.add_row(name, *(_numbers(counted) if counted else [*[""] * (len(_COUNTED) - 1), "killed"]))
        self.console.print(table)

    def verdict(self, trials: Sequence[Trial], seconds: float) -> None:
        failed = [trial for trial in trials if not trial.held]
        self.console.print()
        for trial in failed[:_FAILURES_SHOWN]:
            self.line(False, str(trial))
        if len(failed) > _FAILURES_SHOWN:
            self.remark(f"and {len(failed) - _FAILURES_SHOWN} more")
        held = len(trials) - len(failed)
        self.line(not failed, f"{held} of {len(trials)} visits went as the policies say, in {seconds:.0f} s")

    def _table(self, *headings: str) -> Table:
        style = box.MARKDOWN if self._plain else box.SIMPLE_HEAD
        return Table(*headings, box=style, pad_edge=self._plain, header_style="" if self._plain else "bold")


def _place(endpoint: Endpoint) -> str:
    return f"{endpoint.server.name} {endpoint.server.colo} {endpoint.vip.name}"


def _cell(trials: Sequence[Trial]) -> Text:
    """Return what all clients saw in common, or how many saw what was expected;
    nothing was tried at a server that is gone.
    """
    if not trials:
        return Text("killed", style="dim")
    expected = trials[0].expectation.outcome
    held = sum(trial.held for trial in trials)
    if held == len(trials):
        return Text(expected, style=_STYLES.get(expected, ""))
    return Text(f"{held}/{len(trials)} {expected}", style="bold red")


def _numbers(counted: dict[str, Any]) -> list[str]:
    vips = counted["vips"].values()
    return [
        *(str(sum(vip["handshakes"][key] for vip in vips)) for key in ("full", "local", "remote")),
        *(str(sum(vip["sessions"][key] for vip in vips)) for key in ("made", "pushed", "received")),
        str(sum(sum(vip["lookups"]["refused"].values()) for vip in vips)),
        str(counted["cache"]["entries"]),
    ]
