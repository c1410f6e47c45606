"""One worker of a group: ``python -m meshcache_server.worker``, started by `group` and by nobody else.

What it is comes as one line of JSON on standard input, and what it is to do as a line each. When that ends, whoever
started it is gone, and so it ends as well. What it tells goes the way it would go to systemd (`systemd`).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from meshcache import ConfigError, MeshcacheError, MeshNode, Settings, worker_settings

from . import messages, process, systemd
from .app import ServerApp, addresses_of
from .loops import loop_factory
from .takeover.inheritance import Inheritance

STOP, HURRY, REOPEN, TAKE = b"stop", b"hurry", b"reopen", b"take"
"""What it may be told; after `TAKE` come the settings, as JSON."""

READ_BYTES = 65536
"""Of standard input at one time, which is what a pipe holds (pipe(7)). A file with a thousand VIPs takes some more."""

OTHER_ADDRESSES = "vip.listen: with server.workers addresses change only with a restart"
"""The sockets are the group's: one that a worker binds by itself would be its alone."""

Read = Callable[[bytes | None], Settings]
"""Makes a worker's settings of the content of its file; None: of what the file holds now. Raises ConfigError."""


class Orders:
    """What the group says, line by line, from `descriptor`. ``over`` when it says no more."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.over = False
        self._begun = b""

    def first(self) -> bytes:
        """Wait for the first line, and return it; an empty one where none comes."""
        while b"\n" not in self._begun and not self.over:
            self._read()
        line, _, self._begun = self._begun.partition(b"\n")
        return line

    def rest(self) -> list[bytes]:
        """Return the lines that came since, without waiting, once the descriptor doesn't block; `STOP` at the end."""
        with suppress(BlockingIOError):
            self._read()
        *lines, self._begun = self._begun.split(b"\n")
        return [*lines, STOP] if self.over else lines

    def _read(self) -> None:
        data = os.read(self.descriptor, READ_BYTES)
        self.over = not data
        self._begun += data


class WorkerApp(ServerApp):
    """The server of one worker: obeys its group, and tells it which settings it has."""

    def __init__(self, settings: Settings, node: MeshNode, read: Read, inheritance: Inheritance) -> None:
        super().__init__(settings, node, lambda: read(None), inheritance=inheritance)
        self._read = read
        self.report.credentials.leave()

    def hear(self, line: bytes) -> None:
        """Obey one line of the group's."""
        word, _, more = line.partition(b" ")
        if word == REOPEN:
            self.access.reopen()
        elif word == TAKE:
            if not self.stopping:
                self._taking = asyncio.create_task(self._take(json.loads(more)))
        elif word == HURRY or not self.stopping:  # systemd may have told it to stop, too
            self.stop()

    async def reload(self, reread: Callable[[], Settings] | None = None) -> bool:
        """As every server does; and where that is what is in the file now, tell the group, which may hold another."""
        taken = await super().reload(reread)
        if taken and reread is None:
            systemd.taken(None)
        return taken

    async def _take(self, told: dict[str, Any]) -> None:
        if await self.reload(lambda: self._read(told["taken"].encode())):
            systemd.taken(told["number"])


def run(told: dict[str, Any], orders: Orders) -> None:
    """Serve as a worker until it is told to stop. Raises ConfigError and the node's errors."""
    process.keep_secrets_in()
    if "file" not in told:
        raise ConfigError(["a worker is started by meshcache serve, with server.workers in its file"])
    path, overrides = Path(told["file"]), tuple(told["overrides"])
    sockets = {key: socket.socket(fileno=descriptor) for key, descriptor in told["sockets"].items()}
    set_up = partial(messages.set_up, told["log_format"], told["log_level"])
    begun, slot = worker_settings(path, overrides, content=told["begun"].encode(), numbered=set_up)

    def read(content: bytes | None) -> Settings:
        return _of_worker(worker_settings(path, overrides, slot, content=content)[0])

    settings = read(told["taken"].encode()).without_restart(_of_worker(begun))
    if {key for _, key, _ in addresses_of(settings)} != set(sockets):
        raise ConfigError([OTHER_ADDRESSES])
    node = MeshNode(settings, slot)
    app = WorkerApp(settings, node, read, Inheritance(sockets, listens=told["listens"]))
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            runner.run(_serve(app, orders))
        finally:
            app.close()


def _of_worker(settings: Settings) -> Settings:
    """Return them with an admin socket of the worker's own; what all of them share is the group's."""
    assert settings.node.state_dir is not None, "its slot is in it"
    own = {"socket": settings.node.state_dir / "admin.sock", "http": None}
    return settings.model_copy(update={"admin": settings.admin.model_copy(update=own)})


async def _serve(app: WorkerApp, orders: Orders) -> None:
    loop = asyncio.get_running_loop()
    os.set_blocking(orders.descriptor, False)

    def hear() -> None:
        for line in orders.rest():
            app.hear(line)
        if orders.over:
            loop.remove_reader(orders.descriptor)

    loop.add_reader(orders.descriptor, hear)
    loop.call_soon(hear)  # what came with the first line
    await app.serve()


def main() -> int:
    """The exit code: 2 for a configuration that can't be used, 1 for what else went wrong."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    orders = Orders(sys.stdin.fileno())
    try:
        run(json.loads(orders.first() or b"{}"), orders)
    except ConfigError as error:
        print(*error.faults, sep="\n", file=sys.stderr)  # noqa: T201 - the log of the group is its reader
        return 2
    except MeshcacheError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
