"""The first thing that anyone does: init, serve twice from one file, and a session from one resumes on the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from meshcache.admin.client import AdminClient
from meshcache.config import load
from meshcache.config.vip import TICKETS
from tests.support.material import free_ports
from tests.support.processes import Process, Processes, meshcache
from tests.support.programs import run
from tests.support.waiting import wait_until

REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Terminal:
    """One `meshcache serve` on the file that `init` wrote, moved to ports that are free."""

    def __init__(self, processes: Processes, file: Path, name: str, mesh: tuple[int, int], port: int) -> None:
        seeds = ",".join(f'"127.0.0.1:{each}"' for each in mesh)
        self.port = port
        self.changes = [
            f"node.name={name}",
            f"mesh.listen=127.0.0.1:{mesh[0]}",
            f"mesh.seeds=[{seeds}]",
            f"vip.shop.listen=127.0.0.1:{port}",
        ]
        self.admin_socket = load(file, self.changes).admin.socket
        arguments = [part for change in self.changes for part in ("--set", change)]
        self.process: Process = processes.meshcache("serve", file.name, *arguments, cwd=file.parent)

    def stats(self) -> dict[str, Any]:
        done = meshcache("stats", "--json", "--socket", str(self.admin_socket))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def sees_its_peer(self) -> bool:
        """Asked on the socket: a command for each look is an interpreter for each."""
        return [peer["state"] for peer in AdminClient(self.admin_socket).stats()["peers"]] == ["alive"]

    def s_client(self, *more: str) -> tuple[dict[str, Any], bool]:
        output = run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-ign_eof", *more], REQUEST)
        body = re.search(r'^\{"server".*\}', output, re.MULTILINE)
        assert body, output
        return json.loads(body[0]), bool(re.search(r"^Reused, ", output, re.MULTILINE))


@pytest.fixture(scope="module")
def terminals() -> Iterator[list[Terminal]]:
    """What two terminals run, once both have met."""
    with TemporaryDirectory(prefix="mc-") as path, Processes(Path(path)) as processes:
        yield start(processes, Path(path))


def start(processes: Processes, folder: Path) -> list[Terminal]:
    done = meshcache("init", cwd=folder)
    assert done.returncode == 0, done.stderr
    one, other, *ports = free_ports(4)
    started = [
        Terminal(processes, folder / "meshcache.toml", "edge-1", (one, other), ports[0]),
        Terminal(processes, folder / "meshcache.toml", "edge-2", (other, one), ports[1]),
    ]
    for terminal in started:
        wait_until(terminal.sees_its_peer, what=f"peers; {terminal.process.output}")
        wait_until(lambda said=terminal.process: " ready: " in said.output, what="it listens once it is warm")
    return started


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_from_one_resumes_on_the_other_and_both_counted_it(
    terminals: list[Terminal], folder: Path, version: str
) -> None:
    one, other = terminals
    saved = str(folder / "session.pem")
    made_before, hit_before = (AdminClient(terminal.admin_socket).stats()["vips"]["shop"] for terminal in terminals)

    first, _ = one.s_client(version, "-sess_out", saved)
    second, reused = other.s_client(version, "-sess_in", saved)

    assert (first["server"], first["session"], first["origin"]) == ("edge-1", "full", None)
    assert (second["server"], second["session"], second["origin"]) == ("edge-2", "remote", "edge-1")
    assert reused
    made, hit = (terminal.stats()["vips"]["shop"] for terminal in terminals)
    tickets = TICKETS if version == "-tls1_3" else 1

    def more(kind: str, what: str, now: dict[str, Any], before: dict[str, Any]) -> int:
        return int(now[kind][what] - before[kind][what])

    assert more("sessions", "made", made, made_before) == tickets
    assert more("sessions", "pushed", made, made_before) == tickets
    assert more("handshakes", "full", made, made_before) == 1
    assert more("handshakes", "remote", hit, hit_before) == 1
    assert more("lookups", "remote", hit, hit_before) == 1
    assert more("handshakes", "full", hit, hit_before) == 0
    assert more("sessions", "received", hit, hit_before) == tickets


def test_peers_and_policy_are_there_for_people_too(terminals: list[Terminal]) -> None:
    socket = str(terminals[0].admin_socket)
    assert "edge-2" in meshcache("peers", "--socket", socket).stdout
    shown = meshcache("policy", "show", "--socket", socket).stdout
    assert "shop" in shown
    assert "colo" in shown
    assert "shop" in meshcache("stats", "--socket", socket).stdout
