"""Starts the server of one configuration file: ``meshcache serve FILE`` and ``python -m meshcache_server FILE``."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from meshcache import ConfigError, MeshcacheError, MeshNode, Settings, load

from . import messages, process
from .app import ServerApp
from .loops import loop_factory
from .takeover.inheritance import Inheritance, TakeOver


def run(
    settings: Settings,
    path: Path,
    overrides: Sequence[str] = (),
    hangups: Sequence[int] = (),
    inheritance: Inheritance | None = None,
) -> None:
    """Serve until SIGTERM. SIGHUP reads `path` again, with the same `overrides`; so does one that is among `hangups` by
    the time the server is ready. `inheritance` is what another process, or systemd, gives.

    Raises ConfigError and the node's errors before anything is served; ready and faults go to the log.
    """
    process.keep_secrets_in()
    messages.set_up()
    if settings.server.workers > 1:
        from .group import Group  # here: it loads aiohttp, which takes longer than many a server needs for its start

        with asyncio.Runner() as runner:
            runner.run(Group(path, overrides, hangups, inheritance).serve())
        return
    node = MeshNode(settings)
    app = ServerApp(settings, node, lambda: load(path, overrides), hangups, inheritance)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            runner.run(app.serve())
        finally:
            app.close()


def inherit(settings: Settings, take_over: TakeOver | None) -> Inheritance:
    """Return what this process gets before it checks anything: sockets of systemd's, or of the process whose place it
    takes.

    Raises ConfigError.
    """
    messages.set_up()
    if take_over is not None and settings.server.workers > 1:
        fault = "a server with several workers can't take another's place: stop that one first, or set 1"
        raise ConfigError([f"server.workers: --take-over: {fault}"])
    return Inheritance.of_systemd() if take_over is None else Inheritance.of_process(settings, take_over)


def main(arguments: Sequence[str]) -> int:
    """Serve the file that is named; 2 for a configuration that can't be used, 1 for what else went wrong."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m meshcache_server FILE", file=sys.stderr)  # noqa: T201  # the command line is its reader
        return 2
    path = Path(arguments[0])
    hangups: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: hangups.append(number))
    try:
        run(load(path), path, hangups=hangups, inheritance=Inheritance.of_systemd())
    except ConfigError as error:
        print(*error.faults, sep="\n", file=sys.stderr)  # noqa: T201
        return 2
    except MeshcacheError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0
