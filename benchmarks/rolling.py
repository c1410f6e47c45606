"""How a node comes back: how soon it is joined again, for each form of seed list, and what a rolling restart loses.

Each restart is paced by the former node's "ready", as systemd and Ansible do it: warm, and not a moment later.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.effort import FULL, SMOKE, Effort
from benchmarks.fresh import in_fresh_process
from benchmarks.material import VIP, free_port, write_certificate, write_mesh_key
from benchmarks.processes import ROOT
from benchmarks.report import Figure
from benchmarks.servers import folder
from meshcache import MeshNode

HOST = "127.0.0.1"
AWAY_S = 4.0
"""Longer than libzmq's longest pause between two tries to connect."""

KNOWN = 1_000
WAIT_S_MAX = 90.0

Seeds = Callable[[int, int], tuple[list[str], list[str]]]

FORMS: dict[str, Seeds] = {
    "each lists both": lambda a, b: ([f"{HOST}:{a}", f"{HOST}:{b}"], [f"{HOST}:{a}", f"{HOST}:{b}"]),
    "each lists the other": lambda a, b: ([f"{HOST}:{b}"], [f"{HOST}:{a}"]),
    "the restarted lists": lambda _a, b: ([f"{HOST}:{b}"], []),
    "the other lists": lambda a, _b: ([], [f"{HOST}:{a}"]),
    "names": lambda a, b: ([f"localhost:{a}", f"localhost:{b}"], [f"localhost:{a}", f"localhost:{b}"]),
    "dns": lambda a, b: ([f"dns:localhost:{a}", f"dns:localhost:{b}"], [f"dns:localhost:{a}", f"dns:localhost:{b}"]),
}
"""Of the node that restarts, and of the one that goes on, by their ports."""


def run(effort: Effort) -> list[Figure]:
    """Joined again after a restart, and what three nodes know after each was restarted once."""
    forms = ["each lists both"] if effort is SMOKE else list(FORMS)
    away_s = 0.2 if effort is SMOKE else AWAY_S
    figures = [in_fresh_process(_joined, form, away_s) for form in forms]
    each = 20_000 if effort is FULL else 200 if effort is SMOKE else 4_000
    return figures + [_rolled(how, each) for how in (signal.SIGTERM, signal.SIGKILL)]


def _joined(form: str, away_s: float) -> Figure:
    with folder() as place:
        write_mesh_key(place / "mesh.key")
        ports = free_port(HOST), free_port(HOST)
        seeds = FORMS[form](*ports)
        other = _start(place, "b", ports[1], seeds[1])
        _start(place, "a", ports[0], seeds[0]).close(goodbye=not _met(other, "a"))
        time.sleep(away_s)
        again = _start(place, "a", ports[0], seeds[0])
        ready_at = time.monotonic()
        assert _met(again, "b")
        assert _met(other, "a")
        took_s = time.monotonic() - ready_at
        again.close()
        other.close()
    return Figure("rolling", f"joined again: {form}", took_s, "s", 0.3, detail={"away_s": away_s})


def _start(place: Path, name: str, port: int, seeds: list[str]) -> MeshNode:
    file = place / f"{name}.toml"
    file.write_text(
        f'[node]\nname = "{name}"\nstate_dir = "state-{name}"\n'
        f'[mesh]\nkey_file = "mesh.key"\nlisten = "{HOST}:{port}"\nmdns = false\nseeds = {seeds!r}\n'
        f'[[vip]]\nname = "{VIP}"\n'
    )
    return MeshNode.from_file(file).start()


def _met(node: MeshNode, peer: str) -> bool:
    deadline = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < deadline:
        if any(each["name"] == peer and each["state"] == "alive" for each in node.peers()):
            return True
        time.sleep(0.002)
    return False


_NODE = """
import sys
from hashlib import sha256
from pathlib import Path
from benchmarks.bare import Bare
from benchmarks.material import VIP
from meshcache import MeshNode
node = MeshNode.from_file(sys.argv[1], ["cache.max_sessions=200000", "cache.max_bytes=256MiB"]).start()
Bare(Path(sys.argv[1]).parent, "1.3", lambda context: node.attach(context, vip=VIP))
node.wait_warm(60)
print("ready", flush=True)
pump = node.internals.pump
for line in sys.stdin:
    word, *names = line.split()
    ids = [sha256(f"{name}-{number}".encode()).digest() for name in names for number in range(int(word[1:]))]
    if word[0] == "m":
        for session_id in ids:
            with pump.lock:
                pump.core.session_created(VIP, session_id, b"\\x30" + session_id + bytes(100), pump.clock())
        pump.wake()
        print(len(ids), flush=True)
    else:
        with pump.lock:
            print(sum(pump.core.lookup(VIP, each, pump.clock()).session is not None for each in ids), flush=True)
"""


class _Node:
    """A process that makes sessions and says which it knows."""

    def __init__(self, file: Path) -> None:
        command = [sys.executable, "-c", _NODE, str(file)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, question: str) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self, how: int) -> None:
        self.process.send_signal(how)
        self.process.wait()


def _rolled(how: signal.Signals, each: int) -> Figure:
    """Three nodes with so many sessions each are restarted, one at the former one's ready."""
    names, sample = ("a", "b", "c"), min(KNOWN // 3, each)
    with folder() as place:
        write_mesh_key(place / "mesh.key")
        write_certificate(place)
        ports = [free_port(HOST) for _ in names]
        files = []
        for name, port in zip(names, ports, strict=True):
            seeds = [f"{HOST}:{each_port}" for each_port in ports]
            _start(place, name, port, seeds).close()
            files.append(place / f"{name}.toml")
        nodes = [_Node(file) for file in files]
        try:
            for node, name in zip(nodes, names, strict=True):
                node.ask(f"m{each} {name}")
            deadline = time.monotonic() + WAIT_S_MAX
            while any(node.ask(f"h{each} {' '.join(names)}") < 3 * each for node in nodes):
                assert time.monotonic() < deadline, "they don't come to know all"
                time.sleep(0.1)
            for at, file in enumerate(files):
                nodes[at].end(how)
                nodes[at] = _Node(file)
            known = min(node.ask(f"h{sample} {' '.join(names)}") for node in nodes)
        finally:
            for node in nodes:
                node.process.kill()
                node.process.wait()
    share = known / (3 * sample)
    detail: dict[str, object] = {"sessions": 3 * each, "asked": 3 * sample, "known_to_each": known}
    return Figure(
        "rolling", f"restarted in turn by {how.name}: known after", share, "", 0.99, at_least=True, detail=detail
    )
