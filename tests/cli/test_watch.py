"""`stats --watch` on a real terminal (a pty): it shows, goes on while the node is away, and leaves no trace."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from meshcache.admin.server import AdminServer
from meshcache.cli import watch
from meshcache.cli.stats import only_vip
from meshcache.cli.watch import READINGS_MAX, TOLD_S, WINDOW_S, Readings, frame
from meshcache.config import AdminSettings
from tests.cli.conftest import BusyNode
from tests.support.waiting import PATIENCE_S, wait_until

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal of 80 by 24 with `meshcache stats --watch` on it."""

    def __init__(self, socket: Path) -> None:
        self.controller, self.terminal = pty.openpty()
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.terminal)
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "meshcache", "stats", "--watch", "--socket", str(socket)],
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self.terminal,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text not in ESCAPES.sub("", self.seen):
            assert time.monotonic() < deadline, f"no {text!r} in {ESCAPES.sub('', self.seen)[-2000:]!r}"
            self._read(0.1)

    def type(self, keys: bytes) -> None:
        os.write(self.controller, keys)

    def end(self) -> int:
        """Wait for the command to end, reading what it still says."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        code = self.process.wait(60)
        while self._read(0):  # its last words, which may come between a look and its end
            pass
        return code

    def _read(self, within_s: float) -> bool:
        if not select.select([self.controller], [], [], within_s)[0]:
            return False
        self.seen += os.read(self.controller, 65536).decode()
        return True

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)
        os.close(self.controller)
        os.close(self.terminal)


@pytest.fixture
def terminal(socket: Path) -> Iterator[Terminal]:
    terminal = Terminal(socket)
    yield terminal
    terminal.close()


def test_q_ends_it_and_the_terminal_is_as_before(terminal: Terminal) -> None:
    terminal.wait_for("node edge-1  colo ams1")
    terminal.wait_for("q to quit")
    terminal.type(b"q")
    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.terminal) == terminal.before
    assert "\x1b[?1049l" in terminal.seen  # the screen from before is back (xterm's alternate screen)
    assert "Traceback" not in terminal.seen


def test_ctrl_c_ends_it_as_cleanly(terminal: Terminal) -> None:
    terminal.wait_for("q to quit")
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.terminal) == terminal.before
    assert "Traceback" not in terminal.seen


def test_a_node_that_restarts_is_waited_for(node: BusyNode, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    server = AdminServer(node, AdminSettings(socket=path)).start()
    terminal = Terminal(path)
    try:
        terminal.wait_for("q to quit")
        server.close()
        terminal.wait_for("no answer, trying again")
        terminal.seen = ""
        with AdminServer(BusyNode(), AdminSettings(socket=path)):
            terminal.wait_for("up 0s")
            terminal.type(b"q")
            assert terminal.end() == 0
    finally:
        terminal.close()
        server.close()


def test_json_is_one_object_a_line_until_it_is_told_to_end(socket: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "meshcache", "stats", "--watch", "--json", "--vip", "pay", "--socket", str(socket)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(2):
            assert list(json.loads(process.stdout.readline())["vips"]) == ["pay"]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


class WideNode(BusyNode):
    """A node alone in its mesh, with these VIPs."""

    def __init__(self, vips: dict[str, Any]) -> None:
        super().__init__()
        self.vips, self.asked, self.policies = vips, 0, self

    def stats(self) -> dict[str, Any]:
        self.asked += 1
        return super().stats() if self.vips else {"node": {"name": "edge-1", "uptime_s": 0.5}, "vips": {}}

    def figures(self) -> dict[str, Any]:
        self.asked += 1
        return {"nodes": [{"name": "edge-1", "colo": "ams1", "vips": self.vips}], "silent": []}


@pytest.mark.parametrize("mesh", [[], ["--mesh"]], ids=["node", "mesh"])
def test_a_program_that_reads_lines_outlasts_a_node_that_restarts(tmp_path: Path, mesh: list[str]) -> None:
    """It is away for a while, then there without its VIP; the program has no line of that time."""
    path, node = tmp_path / "a.sock", WideNode(BusyNode().vips)
    server = AdminServer(node, AdminSettings(socket=path)).start()
    command = [sys.executable, "-m", "meshcache", "stats", "--watch", "--json", "--vip", "shop", *mesh]
    with subprocess.Popen(
        [*command, "--socket", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdout.readline()
            server.close()
            assert process.stderr.readline().startswith("no answer, trying again: ")
            bare = WideNode({})
            with AdminServer(bare, AdminSettings(socket=path)):
                wait_until(lambda: bare.asked)
            with AdminServer(node, AdminSettings(socket=path)):
                assert '"shop"' in process.stdout.readline()
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 0
        finally:
            process.kill()


def test_on_a_terminal_a_vip_that_is_not_there_yet_is_waited_for(node: BusyNode) -> None:
    readings = readings_of(node, 3)
    watch._read_into(readings, lambda: only_vip(WideNode({}).stats(), "shop"))
    assert readings.trouble == 'trying again: node edge-1 has no VIP "shop"; it has none'


def lines_of(readings: Readings, height: int) -> list[str]:
    console = Console(width=80, height=height, file=open(os.devnull, "w"), record=True)  # noqa: SIM115, PTH123
    console.print(frame(readings, height))
    console.file.close()
    return console.export_text().splitlines()


def readings_of(node: BusyNode, count: int) -> Readings:
    readings = Readings(deepcopy(node.stats()))
    for _ in range(count):
        node.advance(1)
        readings.add(deepcopy(node.stats()))
    return readings


def test_a_screen_fits_whatever_there_is_to_tell(node: BusyNode) -> None:
    for number in range(40):
        node.vips[f"vip-{number}"] = deepcopy(node.vips["shop"])
    for peer in node.peers_plain:
        node.lose(peer["name"])
    readings = readings_of(node, 3)
    for height in (8, 24, 60):
        lines = lines_of(readings, height)
        assert len(lines) <= height
        assert max(map(len, lines)) <= 80
        assert lines[0].startswith("node edge-1")
        assert lines[-1].strip() == "q to quit"
    assert "quieter VIPs" in "\n".join(lines_of(readings, 24))


def test_rates_are_over_the_last_seconds_and_trouble_is_told_for_a_minute(node: BusyNode) -> None:
    readings = readings_of(node, 100)
    for seconds in (WINDOW_S, TOLD_S):
        assert readings.newest["node"]["uptime_s"] - readings.before(seconds)["node"]["uptime_s"] == seconds
    assert len(readings) <= READINGS_MAX


def test_trouble_of_a_moment_ago_is_still_on_the_screen(node: BusyNode) -> None:
    readings = readings_of(node, 3)
    node.vips["shop"]["lookups"]["hit_not_resumed"] += 2
    for seconds, told in ((50, True), (30, False)):
        for _ in range(seconds):
            node.advance(1)
            readings.add(deepcopy(node.stats()))
        assert ("! shop: 2 lookups hit and did not resume" in lines_of(readings, 24)) is told


def test_a_node_that_began_anew_shows_no_negative_rates(node: BusyNode) -> None:
    readings = readings_of(node, 3)
    readings.add(BusyNode().stats())
    assert readings.before(WINDOW_S) is readings.newest
    assert not [line for line in lines_of(readings, 24) if " -" in line.replace(" -  ", "")]


def test_a_name_from_elsewhere_is_no_markup_and_no_command(node: BusyNode) -> None:
    node.peers_plain[0] |= {"name": "[bold]\x1b[2J", "state": "lost"}
    text = "\n".join(lines_of(readings_of(node, 1), 24))
    assert "[bold]?[2J" in text
