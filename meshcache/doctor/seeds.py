"""Tries each seed as a node would: looks it up, connects, and shows it our key. Sends it no message."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from meshcache.config import Settings
from meshcache.config.values import join_address, split_address
from meshcache.doctor.finding import Finding, fine, note, problem
from meshcache.edges.handshakes import LinkEvent, LinkUp, Refusal, Refused
from meshcache.edges.keyring import Keyring
from meshcache.edges.transport import Transport

CONNECT_S: Final = 2.0
"""For a TCP connection: two lost SYNs."""

ADMIT_S: Final = 3.0
"""For the key to be accepted or refused, with each of the keyring's keys."""

QUIET_S: Final = 1.0
"""A node answers within milliseconds. Only where nobody did it is asked whether anybody listens."""

GREETING_BYTES: Final = 10
"""The signature with which both ends of ZMTP begin at once (RFC 23/ZMTP): FF, eight bytes, 7F."""

TRIED_MAX: Final = 16
"""Seeds that are tried; one that answers is enough for a node."""

ADDRESSES_MAX: Final = 4
"""Of one name."""


def seed_findings(settings: Settings, keyring: Keyring) -> Iterator[Finding]:
    """One for each seed. One that is silent is a problem only where no other lets us in: a node needs one."""
    if not settings.mesh.seeds and not settings.mesh.mdns:
        yield note("seeds", "there are none, and mDNS is off: this node waits to be found", "list mesh.seeds")
    own = _own_ports(settings)
    tried = [_try(seed, keyring, own) for seed in settings.mesh.seeds[:TRIED_MAX]]
    enough = any(outcome == "member" for outcome, _ in tried)
    for outcome, finding in tried:
        silent = outcome == "silent" and enough
        yield note(finding.name, finding.text, finding.do) if silent else finding


def probe(address: str, keyring: Keyring) -> str:
    """Return what happens when a member connects: "member", "silent", "other key" or "no node"."""
    host, port = split_address(address)
    events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
    transport = Transport(keyring, "127.0.0.1:0", events.put)
    try:
        transport.bind()
        transport.dial(address)
        outcome = _outcome(transport, events, len(keyring.keys), lambda: _listens(host, port))
    finally:
        transport.close()
    return "no node" if outcome == "other key" and not _greets(host, port) else outcome


def _greets(host: str, port: int) -> bool:
    """Return whether what refused us begins as ZeroMQ does: a port of something else, such as the VIP's own, ends a
    connection that it can't read in the same way.
    """
    try:
        with socket.create_connection((host, port), CONNECT_S) as connection:
            connection.settimeout(QUIET_S)
            with connection.makefile("rb") as incoming:
                first = incoming.read(GREETING_BYTES)
    except OSError:
        return False
    return len(first) == GREETING_BYTES and (first[0], first[-1]) == (0xFF, 0x7F)


def _listens(host: str, port: int) -> bool:
    """Return whether anybody accepts connections there. A node counts such a connection as a stranger's:
    don't ask one.
    """
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError:
        return False
    return True


def _outcome(transport: Transport, events: queue.SimpleQueue[LinkEvent], keys: int, listens: Callable[[], bool]) -> str:
    deadline = time.monotonic() + ADMIT_S
    looks_at: float | None = time.monotonic() + QUIET_S
    refusals = 0
    while time.monotonic() < deadline:
        try:
            event = events.get(timeout=0.1)
        except queue.Empty:
            transport.tend()
            if not refusals and looks_at is not None and time.monotonic() >= looks_at:
                looks_at = None
                if not listens():
                    return "silent"
            continue
        if isinstance(event, LinkUp):
            return "member"
        if isinstance(event, Refused) and not event.inbound:
            if event.refusal in (Refusal.NOT_A_NODE, Refusal.NOT_CURVE):
                return "no node"
            refusals += 1
            if refusals >= 2 * keys:
                return "other key"
            transport.tend()
    return "other key" if refusals else "no node"


def _own_ports(settings: Settings) -> set[int]:
    """Return the ports at which nodes of this file may be met on this host. Workers leave that of ``mesh.listen`` free.
    Programs that embed them have ``mesh.worker_ports`` without ``server.workers``.
    """
    ports = settings.mesh.worker_ports
    own = set() if ports is None else set(range(ports.first, ports.last + 1))
    if settings.server.workers == 1:
        own.add(split_address(settings.mesh.advertise or settings.mesh.listen)[1])
    return own


def _try(seed: str, keyring: Keyring, own_ports: set[int]) -> tuple[str, Finding]:
    name = f"seed {seed}"
    host, port = split_address(seed.removeprefix("dns:"))
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        fault = f"the name can't be looked up: {error.strerror or error}"
        return "silent", problem(name, fault, "correct mesh.seeds, or DNS")
    addresses = list(dict.fromkeys(join_address(str(entry[4][0]), port) for entry in found))[:ADDRESSES_MAX]
    if port in own_ports and all(map(_is_own, addresses)):
        return "own", fine(name, "is this node's own address, which does no harm")
    outcomes = {probe(address, keyring) for address in addresses}
    best = next(outcome for outcome in _FINDINGS if outcome in outcomes)
    return best, replace(_FINDINGS[best], name=name)


def _is_own(address: str) -> bool:
    """Return whether an address is one of this machine's: others can't be bound to."""
    host, _ = split_address(address)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as trial:
        try:
            trial.bind((host, 0))
        except OSError:
            return False
    return True


_FINDINGS: Final = {
    "member": fine("", "answers and takes our key"),
    "other key": problem(
        "", "answers, but not to our key", "copy the same mesh.key to all nodes of the mesh (mesh.key_file)"
    ),
    "no node": problem(
        "",
        "something listens there that is no meshcache node, or no mesh port of one",
        "correct the port in mesh.seeds: it is that of the node's mesh.listen, not the one of a VIP",
    ),
    "silent": problem("", "nothing answers there", "start that node, open the port, or take the seed out"),
}
"""By outcome, the one that tells most first, where a name has several addresses."""
