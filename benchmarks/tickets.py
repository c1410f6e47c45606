"""What tickets under the mesh's keys cost in a resumed handshake, against OpenSSL's own tickets: bare in memory.

A node without peers. The two sides of a ratio take turns in one process, so that what else the machine does meets both.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bare import Bare
from benchmarks.cpu import VERSIONS, bare_block, compare
from benchmarks.effort import Effort
from benchmarks.fresh import in_fresh_process
from benchmarks.material import VIP, plan_servers
from benchmarks.own_cache import use_own_tickets
from benchmarks.report import Figure
from meshcache import MeshNode

TARGET = 1.05
"""In a server, where a handshake takes two to three times as long as here."""

_KEYS_S = 60.0


def run(effort: Effort) -> list[Figure]:
    """Both protocol versions, in a process of their own."""
    return in_fresh_process(_measure, effort)


def _measure(effort: Effort) -> list[Figure]:
    figures: list[Figure] = []
    with TemporaryDirectory(prefix="mc-") as folder:
        (plan,) = plan_servers(Path(folder), 1)
        with MeshNode.from_file(plan.file, ["vip.0.resumption=tickets"]) as node:
            for version in VERSIONS:
                ours = Bare(Path(folder), version, lambda context: node.attach(context, vip=VIP))
                _wait_for_keys(node)
                theirs = Bare(Path(folder), version, use_own_tickets)
                sides = bare_block(ours, effort.block), bare_block(theirs, effort.block)
                figures += compare("tickets", f"TLS {version} resumed by ticket", effort, *sides, TARGET)
    return figures


def _wait_for_keys(node: MeshNode) -> None:
    until = time.monotonic() + _KEYS_S
    while not any(key["state"] == "encrypts" for ring in node.policies.ticket_rings() for key in ring["keys"]):
        if time.monotonic() > until:
            raise TimeoutError("the node made no ticket key")
        time.sleep(0.05)
