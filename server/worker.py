"""One worker of a group: ``python -m meshcache_server.worker``, started by `group` and by nobody else.

What it is comes as one line of JSON on standard input, and what it is to do as a word a line. When that ends, whoever
started it is gone, and so it ends as well. What it tells goes the way it would go to systemd (`systemd`).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

from meshcache import ConfigError, MeshcacheError, MeshNode, Settings, worker_settings

from . import messages, process
from .app import ServerApp, addresses_of
from .loops import loop_factory
from .takeover.inheritance import Inheritance

STOP, HURRY, REOPEN = b"stop", b"hurry", b"reopen"
"""What it may be told."""

COMMANDS_BYTES_MAX = 4096

OTHER_ADDRESSES = "vip.listen: with server.workers addresses change only with a restart"
"""The sockets are the group's: one that a worker binds by itself would be its alone."""


def run(told: dict[str, Any]) -> None:
    """Serve as a worker until it is told to stop. Raises ConfigError and the node's errors."""
    process.keep_secrets_in()
    if "file" not in told:
        raise ConfigError(["a worker is started by meshcache serve, with server.workers in its file"])
    path, overrides = Path(told["file"]), tuple(told["overrides"])
    sockets = {key: socket.socket(fileno=descriptor) for key, descriptor in told["sockets"].items()}
    settings, slot = worker_settings(path, overrides)
    messages.set_up(told["log_format"], told["log_level"], slot.number)
    if {key for _, key, _ in addresses_of(settings)} != set(sockets):
        raise ConfigError([OTHER_ADDRESSES])
    node = MeshNode(_of_worker(settings), slot)
    app = ServerApp(
        _of_worker(settings),
        node,
        lambda: _of_worker(worker_settings(path, overrides, slot)[0]),
        inheritance=Inheritance(sockets, listens=told["listens"]),
    )
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            runner.run(_serve(app))
        finally:
            app.close()


def _of_worker(settings: Settings) -> Settings:
    """Return them with an admin socket of the worker's own; what all of them share is the group's."""
    assert settings.node.state_dir is not None, "its slot is in it"
    own = {"socket": settings.node.state_dir / "admin.sock", "http": None}
    return settings.model_copy(update={"admin": settings.admin.model_copy(update=own)})


async def _serve(app: ServerApp) -> None:
    loop, commands = asyncio.get_running_loop(), sys.stdin.fileno()
    os.set_blocking(commands, False)
    loop.add_reader(commands, partial(_hear, loop, commands, app))
    await app.serve()


def _hear(loop: asyncio.AbstractEventLoop, commands: int, app: ServerApp) -> None:
    try:
        words = os.read(commands, COMMANDS_BYTES_MAX)
    except BlockingIOError:
        return
    if not words:
        loop.remove_reader(commands)
    for word in words.split() or [STOP]:
        if word == REOPEN:
            app.access.reopen()
        elif word == HURRY or not app.stopping:  # systemd may have told it to stop, too
            app.stop()


def main() -> int:
    """The exit code: 2 for a configuration that can't be used, 1 for what else went wrong."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run(json.loads(_first_line()))
    except ConfigError as error:
        print(*error.faults, sep="\n", file=sys.stderr)  # noqa: T201 - the log of the group is its reader
        return 2
    except MeshcacheError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _first_line() -> bytes:
    """Byte by byte: what comes after it is for the loop."""
    line = b""
    while (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        line += byte
    return line or b"{}"


if __name__ == "__main__":
    sys.exit(main())
