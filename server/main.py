"""Starts the server of one configuration file: ``meshcache serve FILE`` and ``python -m meshcache_server FILE``."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from meshcache import ConfigError, MeshcacheError, MeshNode, Settings, load

from . import process
from .app import ServerApp


def run(settings: Settings, path: Path, overrides: Sequence[str] = (), hangups: Sequence[int] = ()) -> None:
    """Serve until SIGTERM. SIGHUP reads `path` again, with the same `overrides`; so does one that is among `hangups` by
    the time the server is ready.

    Raises ConfigError and the node's errors before anything is served; ready and faults go to the log.
    """
    process.keep_secrets_in()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    node = MeshNode(settings)
    app = ServerApp(settings, node, reread=lambda: load(path, overrides), hangups=hangups)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(app.serve())
        finally:
            node.close()


def main(arguments: Sequence[str]) -> int:
    """Serve the file that is named; 2 for a configuration that can't be used, 1 for what else went wrong."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m meshcache_server FILE", file=sys.stderr)  # noqa: T201  # the command line is its reader
        return 2
    path = Path(arguments[0])
    hangups: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: hangups.append(number))
    try:
        run(load(path), path, hangups=hangups)
    except ConfigError as error:
        print(*error.faults, sep="\n", file=sys.stderr)  # noqa: T201
        return 2
    except MeshcacheError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where it is installed: a third less CPU for a resumed handshake."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
