"""The command: runs the benchmarks one after another, prints one table and writes JSON. Measures nothing itself."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import (
    awaiting,
    calls,
    comes_back,
    cpu,
    fetching,
    hot_path,
    idle,
    in_callback,
    lag,
    memory,
    node64,
    num_tickets,
    peers,
    receiver,
    relay,
    rolling,
    sharing,
    takeover,
    tickets,
    tickets_server,
    tiers,
    workers,
)
from benchmarks.effort import FULL, QUICK, SMOKE, Effort
from benchmarks.report import Figure, show, write

BENCHMARKS: dict[str, Callable[[Effort], list[Figure]]] = {
    "cpu_mesh_vs_own": cpu.mesh_against_own,
    "cpu_server_vs_bare": cpu.server_against_bare,
    "hot_path": hot_path.run,
    "tickets": tickets.run,
    "tickets_server": tickets_server.run,
    "calls": calls.run,
    "comes_back": comes_back.run,
    "awaiting": awaiting.run,
    "fetching": fetching.run,
    "in_callback": in_callback.run,
    "lag": lag.run,
    "receiver": receiver.run,
    "memory": memory.run,
    "num_tickets": num_tickets.run,
    "node64": node64.run,
    "peers": peers.run,
    "sharing": sharing.run,
    "relay": relay.run,
    "idle": idle.run,
    "takeover": takeover.run,
    "tiers": tiers.run,
    "rolling": rolling.run,
    "workers": workers.run,
}

DEFAULT_JSON = Path(__file__).parent / "results" / "latest.json"


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; 0 when everything could be measured, whatever the figures, and 1 when not."""
    asked = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    effort = SMOKE if asked.smoke else QUICK if asked.quick else FULL
    started = time.monotonic()
    figures, failed = _measure(asked.only or list(BENCHMARKS), effort)
    show(figures, console)
    write(figures, asked.json, time.monotonic() - started)
    console.print(f"{time.monotonic() - started:.0f} s; everything measured is in {asked.json}")
    return 1 if failed else 0


def _measure(names: list[str], effort: Effort) -> tuple[list[Figure], bool]:
    figures: list[Figure] = []
    failed = False
    for name in names:
        started = time.monotonic()
        try:
            figures += BENCHMARKS[name](effort)
        except Exception as error:  # noqa: BLE001 - the other benchmarks still have something to say
            failed = True
            traceback.print_exception(error)
            print(f"{name}: could not be measured: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"{name}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return figures, failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure meshcache against its targets.")
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), help="run this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="about two minutes, noisier")
    parser.add_argument("--smoke", action="store_true", help="a few handshakes: shows that the harness works")
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON, metavar="FILE", help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
