"""Agents as a test sees them: started, asked, stopped, killed, and always ended, each by its own handle."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.material import free_ports, write_key
from tests.support.processes import stop
from tests.support.waiting import PATIENCE_S, wait_until

ROOT = Path(__file__).parent.parent.parent

ANSWER_S_MAX = 120.0
"""A thousand handshakes take three seconds; a machine that does seven other things takes several times that."""

END_S_MAX = 60.0

MEET_S_MAX = 60.0

SLOW_S = 2.0
"""A handshake that takes longer has waited for a peer; one that hasn't takes milliseconds, even on a busy machine."""


class Host:
    """One agent process."""

    def __init__(self, file: Path, command: Sequence[str]) -> None:
        self.log = file.with_suffix(".log")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, sys.executable, "-m", "tests.chaos.agent", str(file)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )
        self._addresses: dict[str, str] | None = None

    @property
    def addresses(self) -> dict[str, str]:
        """Where each node listens, by name; waits for the first time until all have started."""
        if self._addresses is None:
            self._addresses = self._answer()
        return self._addresses

    @property
    def name(self) -> str:
        """Of its first node, which most agents have alone."""
        return next(iter(self.addresses))

    def ask(self, question: str, *arguments: Any) -> Any:
        """Call a method of the agent."""
        assert self.addresses, "has started"
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([question, *arguments]).encode() + b"\n")
        return self._answer()

    def make(self, count: int) -> list[str]:
        """New sessions on the first node, by full handshakes none of which waited for the mesh."""
        made = self.ask("make", self.name, count)
        assert made["slowest_s"] < SLOW_S, f"a handshake on {self.name} took {made['slowest_s']:.1f} s"
        assert len(made["ids"]) == count
        return list(made["ids"])

    def states(self) -> dict[str, str]:
        states: dict[str, str] = self.ask("states", self.name)
        return states

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """What happened on the first node so far."""
        return [event for event in self.ask("events", self.name) if event["kind"] in kinds]

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self.ask("stats", self.name)
        return stats

    def stop(self) -> None:
        stop(self._process)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; no goodbye."""
        self._process.kill()
        self._process.wait()

    def resident_bytes(self) -> int:
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096

    def end(self) -> None:
        """Whatever state it is in."""
        if self._process.poll() is None:
            self.go_on()
            self._process.terminate()
        try:
            self._process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_S_MAX)
            some = self._process.stdout.read(65_536) if ready else b""
            assert some, f"no answer; its log:\n{self.log.read_text(errors='replace')[-3000:]}"
            line += some
        return json.loads(line)


class Hosts:
    """Starts agents of one mesh and ends them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Host] = []
        write_key(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for host in self._started:
            host.end()

    def start(self, *nodes: dict[str, Any], command: Sequence[str] = ()) -> Host:
        """One process with these nodes; returns at once. `command` stands before Python's."""
        file = self._folder / f"agent-{len(self._started)}.json"
        file.write_text(json.dumps({"folder": str(self._folder), "nodes": nodes}))
        host = Host(file, command)
        self._started.append(host)
        return host

    def mesh(self, *names: str) -> list[Host]:
        """One process for each name, all of which have met."""
        seed = f"127.0.0.1:{free_ports(1)[0]}"
        others = ({"name": name, "mesh": {"seeds": [seed]}} for name in names[1:])
        hosts = [self.start(node) for node in ({"name": names[0], "mesh": {"listen": seed}}, *others)]
        wait_until_met(hosts)
        return hosts


def wait_until_met(hosts: Sequence[Host], within_s: float = MEET_S_MAX) -> None:
    """Until every node of these processes sees every other one alive."""
    others = sum(len(host.addresses) for host in hosts) - 1
    for host in hosts:
        wait_until(partial(_none, host, "lonely", others), within_s, f"{host.name} meets {others} others")


def wait_until_all_have(hosts: Sequence[Host], ids: Sequence[str], within_s: float = PATIENCE_S) -> None:
    """Until a handshake on every node of these processes would find each of these sessions."""
    for host in hosts:
        wait_until(partial(_none, host, "missing", list(ids)), within_s, f"{host.name} has {len(ids)} sessions")


def _none(host: Host, question: str, *arguments: Any) -> bool:
    """Whether the answer is empty; what it has instead is shown when the time is up."""
    answer = host.ask(question, *arguments)
    if answer:
        raise AssertionError(f"{question}: {answer}")
    return True
