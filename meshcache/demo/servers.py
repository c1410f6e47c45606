"""The demo's servers: real `meshcache serve` processes, started together, asked over their admin sockets, always ended.

Ends only the processes that it started, each by its own handle.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

from meshcache.admin.client import AdminClient
from meshcache.demo.files import DASHBOARD, SERVERS, DemoFiles, Server
from meshcache.errors import AdminError

READY_S_MAX = 60.0
"""Six Pythons start on two cores in about five seconds; a loaded machine gets twelve times that for each sign of life,
of which the first comes when a server has imported what it needs."""

START_S_MAX = 150.0
"""With signs of life."""

_END_S_MAX = 5.0
"""A server that was asked to end and has no client drains at once."""

_LOG_LINES = 12


class DemoError(Exception):
    """The demo could not go on; says at which step, with the end of the log that may tell why."""


class Fleet:
    """The six servers of one run; leaving the ``with`` block ends them all."""

    def __init__(self, files: DemoFiles) -> None:
        self.files = files
        self._processes: dict[Server, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            for server in SERVERS:
                self._start(server)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    @property
    def alive(self) -> list[Server]:
        """The servers that have not been killed."""
        return list(self._processes)

    def wait_until_all_know_each_other(self) -> None:
        """Return when every server answers and sees every other alive; raises DemoError when that takes too long."""
        begun = alive_at = time.monotonic()
        told = 0
        for server in SERVERS:
            while not self._sees_all(server):
                self._check_running(server)
                now = time.monotonic()
                if (tells := self._told()) != told:
                    told, alive_at = tells, now
                if now > min(alive_at + READY_S_MAX, begun + START_S_MAX):
                    raise DemoError(
                        f"{server.name} did not find its peers within {now - begun:.0f} s{self._tail(server)}"
                    )
                time.sleep(0.05)

    def stats(self, server: Server) -> dict[str, Any]:
        """Return what ``meshcache stats --json`` says on this server."""
        try:
            return AdminClient(self.files.admin_socket(server)).stats()
        except AdminError as error:
            raise DemoError(f"{server.name}: {error}{self._tail(server)}") from None

    def dashboard(self) -> str:
        """Return where a browser finds the page of the one server that has it.
        Raises DemoError when its log doesn't say.
        """
        found = re.search(r"dashboard: (http://\S+/)", self.files.log(DASHBOARD).read_text(errors="replace"))
        if found is None:
            raise DemoError(f"{DASHBOARD.name} did not say where its dashboard is{self._tail(DASHBOARD)}")
        return found[1]

    def kill(self, server: Server) -> None:
        """SIGKILL: no goodbye, nothing flushed, as when the power goes."""
        process = self._processes.pop(server)
        process.kill()
        process.wait()

    def end(self) -> None:
        """Ask all that run to end, and kill what does not."""
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + _END_S_MAX
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def _start(self, server: Server) -> None:
        with self.files.log(server).open("wb") as log:
            self._processes[server] = subprocess.Popen(  # noqa: S603  # our own interpreter, our own file
                [sys.executable, "-m", "meshcache", "serve", str(self.files.file(server))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.files.folder,
                start_new_session=True,  # Ctrl-C is for us: the servers end in our order
            )

    def _sees_all(self, server: Server) -> bool:
        if " ready: " not in self.files.log(server).read_text(errors="replace"):
            return False
        try:
            peers = AdminClient(self.files.admin_socket(server)).stats()["peers"]
        except AdminError:
            return False
        return {peer["name"] for peer in peers if peer["state"] == "alive"} >= {s.name for s in SERVERS} - {server.name}

    def _told(self) -> int:
        """How much all servers have written: a sign of life."""
        return sum(self.files.log(server).stat().st_size for server in self._processes)

    def _check_running(self, server: Server) -> None:
        code = self._processes[server].poll()
        if code is not None:
            raise DemoError(f"{server.name} ended with exit code {code} while starting{self._tail(server)}")

    def _tail(self, server: Server) -> str:
        lines = self.files.log(server).read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "".join(f"\n    {line}" for line in lines)
