"""What each further ticket of a full TLS 1.3 handshake costs: CPU where it is made, bytes to a peer, memory.

A resumed handshake makes one session whatever the VIP's `tickets`, so nothing here is about those.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from OpenSSL import SSL

from benchmarks.bare import STAGE, Bare
from benchmarks.cpu import Measure, compare
from benchmarks.effort import Effort
from benchmarks.fresh import in_fresh_process
from benchmarks.material import VIP, plan_servers
from benchmarks.report import Figure
from meshcache import MeshNode
from meshcache.tls import libssl

NUMBERS = (2, 4)
_MEET_S_MAX = 30.0


def run(effort: Effort) -> list[Figure]:
    """A node with one peer; the sides of a ratio take turns in one process."""
    return in_fresh_process(_measure, effort)


def _measure(effort: Effort) -> list[Figure]:
    with TemporaryDirectory(prefix="mc-") as folder:
        here, there = plan_servers(Path(folder), 2)
        with MeshNode.from_file(here.file) as node, MeshNode.from_file(there.file) as peer:
            peer.attach(_context(Path(folder)), vip=VIP)
            sides = {number: Bare(Path(folder), "1.3", lambda at, n=number: _join(node, at, n)) for number in (1, 2, 4)}
            _wait(lambda: [each["state"] for each in node.peers()] == ["alive"])
            figures: list[Figure] = []
            for number in NUMBERS:
                name = f"TLS 1.3 full, {number} tickets against 1"
                figures += compare(
                    "num_tickets", name, effort, _block(sides[number], effort), _block(sides[1], effort), None
                )
            return figures + [figure for number, side in sides.items() for figure in _bytes(node, side, number, effort)]


def _join(node: MeshNode, context: SSL.Context, number: int) -> None:
    """A number that the program has set itself counts more than the VIP's."""
    found = libssl.find(context)
    found.library.functions.SSL_CTX_set_num_tickets(found.pointer, number)
    node.attach(context, vip=VIP)


def _context(folder: Path) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(str(folder / f"{VIP}.pem"))
    context.use_privatekey_file(str(folder / f"{VIP}.key"))
    return context


def _block(side: Bare, effort: Effort) -> Measure:
    return lambda: side.cpu_ns(effort.block, resumed=False) / 1000


def _bytes(node: MeshNode, side: Bare, number: int, effort: Effort) -> list[Figure]:
    """What the node has sent and holds more after some handshakes."""
    before = node.stats()
    handshakes = max(1, effort.block // STAGE) * STAGE
    side.cpu_ns(handshakes, resumed=False)
    sessions = before["gossip"]["sent"]["sessions"] + number * handshakes
    _wait(lambda: node.stats()["gossip"]["sent"]["sessions"] >= sessions)
    after = node.stats()
    sent = after["gossip"]["sent"]["bytes"] - before["gossip"]["sent"]["bytes"]
    held = after["cache"]["bytes"] - before["cache"]["bytes"]
    return [
        Figure("num_tickets", f"sent to a peer for a full handshake, {number} tickets", sent / handshakes, "bytes"),
        Figure("num_tickets", f"held for a full handshake, {number} tickets", held / handshakes, "bytes"),
    ]


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _MEET_S_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the nodes don't meet, or don't send")
        time.sleep(0.01)
