"""What tickets under the mesh's keys cost in a resumed handshake, against OpenSSL's own tickets: bare in memory.

A node without peers. The two sides of a ratio take turns in one process, so that what else the machine does meets both.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from OpenSSL import SSL

from benchmarks.bare import Bare
from benchmarks.cpu import VERSIONS, bare_block, compare
from benchmarks.effort import Effort
from benchmarks.fresh import in_fresh_process
from benchmarks.material import VIP, plan_servers
from benchmarks.report import Figure
from meshcache import MeshNode
from meshcache.tls import libssl

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


def use_own_tickets(context: SSL.Context) -> None:
    """OpenSSL's own tickets, one for a handshake, under a key that it keeps for ever; for benchmarks only."""
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"benchmarks: OpenSSL's own tickets"[:32])
    found = libssl.find(context)
    found.library.functions.SSL_CTX_set_num_tickets(found.pointer, 1)


def _wait_for_keys(node: MeshNode) -> None:
    until = time.monotonic() + _KEYS_S
    while not any(key["state"] == "encrypts" for ring in node.policies.ticket_rings() for key in ring["keys"]):
        if time.monotonic() > until:
            raise TimeoutError("the node made no ticket key")
        time.sleep(0.05)
