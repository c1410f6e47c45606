"""CPU that gossip costs one node of 64 in a colo, each of which makes 100 sessions/s, in percent of one core.

One real node in a process of its own takes what 63 origins send, over ZeroMQ and CURVE, and publishes its own sessions
to all of them. CPU is all that its process uses, libzmq's thread included: there is no TLS server in it.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from contextlib import ExitStack
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.cores import DER_BYTES, ID_BYTES, VIP
from benchmarks.effort import SMOKE, Effort
from benchmarks.origins import PER_S, STEP_S, Pace, feed, local_vip
from benchmarks.report import Figure
from benchmarks.statistic import median
from meshcache import MeshNode, Settings
from meshcache.edges.keyfile import create_keyring
from meshcache.edges.keyring import Keyring
from meshcache.runtime.vip_ports.origin_tokens import Tokens
from meshcache.runtime.vip_ports.session_ports import VipPort

NODES = 64
TARGET_PERCENT = 10.0

SMOKE_NODES = 8
"""Enough to show that the harness works."""

FEEDERS = 2
MEET_S_MAX = 60.0
WARM_S = 4.0
"""For what joining costs to be over."""
SMOKE_WARM_S = 0.5

WINDOWS = 5
"""Of which the median counts: others that use the machine make each message cost more, by up to twice."""

_NAME = "edge-0"
_TLS12 = 0x0303


def run(effort: Effort) -> list[Figure]:
    """The node's CPU while everybody makes sessions; scaled up if the feeders didn't reach their rate."""
    origins = (SMOKE_NODES if effort is SMOKE else NODES) - 1
    looks = _measure(origins, effort.part_s)
    before, after = looks[0], looks[-1]
    seconds = after["at"] - before["at"]
    windows = [100 * (then["cpu"] - at["cpu"]) / (then["at"] - at["at"]) for at, then in pairwise(looks)]
    percent = median(windows)
    per_s = (after["received"] - before["received"]) / seconds
    wanted = origins * PER_S
    scaled = percent * max(1.0, wanted / max(per_s, 1.0))
    detail: dict[str, object] = {
        "cpu_percent_in_windows": [round(share, 2) for share in windows],
        "sessions_received_per_s": round(per_s),
        "sessions_wanted_per_s": round(wanted),
        "messages_received_per_s": round((after["messages"] - before["messages"]) / seconds),
        "own_sessions_per_s": round((after["made"] - before["made"]) / seconds),
        "repaired": after["repaired"],
        "dropped": after["dropped"],
        "peers": after["peers"],
        "seconds": round(seconds, 1),
    }
    target = None if effort is SMOKE else TARGET_PERCENT
    return [
        Figure(
            "node64", f"gossip of a node of {origins + 1}, {PER_S:.0f}/s each", scaled, "% core", target, detail=detail
        )
    ]


def _measure(origins: int, seconds: float) -> list[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mc-")))
        keyring = Keyring.new()
        create_keyring(folder / "mesh.key", keyring)
        node, theirs = context.Pipe()
        _start(stack, context.Process(target=_node, args=(theirs, str(folder)), daemon=True))
        address = _answer(node)
        for part in range(FEEDERS):
            numbers = range(part + 1, origins + 1, FEEDERS)
            order = (keyring.to_toml(), address, list(numbers), NODES - 1)
            _start(stack, context.Process(target=feed, args=order, daemon=True))
        _wait_for_peers(node, origins)
        node.send("make")
        time.sleep(WARM_S if origins == NODES - 1 else SMOKE_WARM_S)
        looks = [_ask(node)]
        for _ in range(WINDOWS):
            time.sleep(seconds / WINDOWS)
            looks.append(_ask(node))
        return looks


def _start(stack: ExitStack, process: Any) -> None:
    process.start()
    stack.callback(process.join)
    stack.callback(process.terminate)


def _wait_for_peers(node: Connection, count: int) -> None:
    deadline = time.monotonic() + MEET_S_MAX
    while (met := _ask(node)["peers"]) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the node met {met} of {count} origins")
        time.sleep(0.2)


def _ask(node: Connection) -> dict[str, Any]:
    node.send("figures")
    figures: dict[str, Any] = _answer(node)
    return figures


def _answer(node: Connection) -> Any:
    if not node.poll(MEET_S_MAX):
        raise TimeoutError("the node's process doesn't answer")
    return node.recv()


def _node(pipe: Connection, folder: str) -> None:
    """The measured process: a node that makes sessions at the common rate from when it is told to."""
    settings = _settings(Path(folder))
    with MeshNode(settings) as node:
        pump = node.internals.pump
        with pump.lock:
            pump.core.set_vip(local_vip(_NAME), pump.clock())
        pump.wake()
        port = VipPort(settings.vips[0], pump, Tokens(time.monotonic()))
        pipe.send(node.address)
        while pipe.recv() != "make":
            pipe.send(_figures(node))
        threading.Thread(target=_make, args=(port,), daemon=True).start()
        while pipe.recv():
            pipe.send(_figures(node))


def _make(port: VipPort) -> None:
    random, pace = Random(0), Pace(time.monotonic())
    while True:
        time.sleep(STEP_S)
        for _ in range(pace.due(time.monotonic())):
            port.created(random.randbytes(ID_BYTES), random.randbytes(DER_BYTES), 0, False, _TLS12)


def _figures(node: MeshNode) -> dict[str, Any]:
    stats = node.stats()
    sessions, gossip = stats["vips"][VIP]["sessions"], stats["gossip"]
    return {
        "at": time.monotonic(),
        "cpu": time.process_time(),
        "received": sessions["received"],
        "made": sessions["made"],
        "messages": gossip["received"]["messages"],
        "repaired": gossip["repaired"],
        "dropped": gossip["dropped"],
        "peers": sum(peer["state"] == "alive" for peer in stats["peers"]),
    }


def _settings(folder: Path) -> Settings:
    mesh = {"name": "benchmarks", "key_file": str(folder / "mesh.key"), "listen": "127.0.0.1:0", "mdns": False}
    node = {"name": _NAME, "colo": "here", "state_dir": str(folder / _NAME)}
    return Settings.model_validate({"node": node, "mesh": mesh, "admin": {"socket": False}, "vip": [{"name": VIP}]})
