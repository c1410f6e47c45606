"""Every number that a plan is made with, beside those of the configuration, and where it was measured.

The measured ones are of one two-core machine; a plan is good to a factor of two, which is what it is for.
"""

from __future__ import annotations

from math import ceil
from typing import Final, NamedTuple


class Constant(NamedTuple):
    """A figure, its unit, and its source: a benchmark of this project, or a limit of its code."""

    value: float
    unit: str
    source: str


ALONE_BYTES: Final = Constant(322, "bytes", "benchmarks/memory.py: a session on the wire, batch of 1")
BATCHED_BYTES: Final = Constant(170.5, "bytes", "benchmarks/memory.py: a session on the wire, batch of 64")
TCP_BYTES: Final = Constant(
    66, "bytes", "around each segment: Ethernet, IPv4, TCP with timestamps (RFC 9293, RFC 7323)"
)
SEGMENT_BYTES: Final = Constant(1448, "bytes", "what a segment carries at an MTU of 1,500")
HELD_BYTES: Final = Constant(340, "bytes", "benchmarks/memory.py: a session in the cache")
DISK_BYTES: Final = Constant(
    345, "bytes", "benchmarks/tiers.py: a session in the file of the disk tier, index included"
)
DISK_LARGE_BYTES: Final = Constant(
    4170, "bytes", "the same for one of 2,000 bytes and more: it takes a page (lmdb.h, overflow pages)"
)
TAKE_US: Final = Constant(10.0, "us", "benchmarks/node64.py: a session among others in a push, with caches gone cold")
TAKE_MESSAGE_US: Final = Constant(
    100.0, "us", "benchmarks/node64.py: a push beside its sessions, with ZeroMQ's thread and the pump that it wakes"
)
SEND_US: Final = Constant(35.0, "us", "docs/performance.md: ZeroMQ's thread for each message")
FULL_US: Final = Constant(1900.0, "us", "benchmarks/cpu.py: TLS 1.3 full, RSA-2048")
TICKET_US: Final = Constant(
    80.0, "us", "benchmarks/num_tickets.py: a full handshake's second ticket, made, filed and sent"
)
RESUMED_US: Final = Constant(870.0, "us", "benchmarks/cpu.py: TLS 1.3 resumed")
BEAT_BYTES: Final = Constant(
    150, "bytes", "core.messages.Beat with a few VIPs, CURVE and TCP around it, each second to each peer"
)

INGRESS_PER_S_MAX: Final = Constant(
    20_000, "sessions/s", "a budget: a fifth of a core for the mesh, the rest is for handshakes"
)
CPU_CORES_MAX: Final = Constant(0.8, "cores", "a process has one interpreter; above it handshakes queue")

SOURCES: Final = {name: constant for name, constant in globals().items() if isinstance(constant, Constant)}
"""All of them by name, as a plan prints them."""

BATCH_FULL: Final = 64

DISK_FULL: Final = 0.9
"""Of the disk tier's bytes: what is used of them (tiers/disk.py)."""


def wire_bytes(batch: float) -> float:
    """Return bytes for one session in batches of so many, with all that is around it:
    what comes once a message is spread.
    """
    batch = min(max(batch, 1.0), float(BATCH_FULL))
    once = (ALONE_BYTES.value - BATCHED_BYTES.value) / (1 - 1 / BATCH_FULL)
    message = once + batch * (ALONE_BYTES.value - once)
    return (message + ceil(message / SEGMENT_BYTES.value) * TCP_BYTES.value) / batch
