"""Predicts what a mesh of equal nodes will carry: sessions, bytes, CPU and memory, for each node and between colos.

Arithmetic only. It takes the worst case where it has to choose: every handshake makes a session, and a full one as many
as its VIP gives tickets, as in TLS 1.3. Where clients keep their sessions (``resumption = "tickets"``) none is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

from meshcache.config import Settings, VipSettings
from meshcache.core.cache.entry import ENTRY_OVERHEAD_BYTES
from meshcache.core.policy.gates import COPIES_MAX
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import SESSION_ID_BYTES_MAX
from meshcache.planning.constants import (
    BEAT_BYTES,
    CPU_CORES_MAX,
    DISK_BYTES,
    DISK_FULL,
    DISK_LARGE_BYTES,
    FULL_US,
    HELD_BYTES,
    INGRESS_PER_S_MAX,
    RESUMED_US,
    SEND_US,
    TAKE_MESSAGE_US,
    TAKE_US,
    TICKET_US,
    wire_bytes,
)

DER_BYTES = 134
"""A session without a client certificate; with a small chain it is about 1 kB."""

_ENTRY_BYTES = DER_BYTES + SESSION_ID_BYTES_MAX + ENTRY_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked: nodes by colo, handshakes a second of the whole mesh, and the part of them that resumes."""

    colos: Mapping[str, int]
    handshakes_per_s: float
    resumed: float

    @property
    def nodes(self) -> int:
        return sum(self.colos.values())

    @property
    def per_node(self) -> float:
        """Return the handshakes a second of one node."""
        return self.handshakes_per_s / self.nodes


@dataclass(frozen=True, slots=True)
class PlannedVip:
    """One VIP on one node: sessions a second made and taken, and how many are held against how many may be. What
    clients keep themselves, in tickets, is none of them.
    """

    name: str
    made_per_s: float
    taken_per_s: float
    held: int
    held_max: int
    held_for_s: float


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One node of a colo."""

    colo: str
    vips: tuple[PlannedVip, ...]
    sent_per_s: float
    messages_per_s: float
    bytes_in_per_s: float
    bytes_out_per_s: float
    cpu_handshakes: float
    cpu_mesh: float
    memory_bytes: int

    @property
    def taken_per_s(self) -> float:
        """Return the sessions a second from peers, of all VIPs."""
        return sum(vip.taken_per_s for vip in self.vips)


@dataclass(frozen=True, slots=True)
class PlannedLink:
    """What goes from one colo to another."""

    source: str
    target: str
    sessions_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class PlannedTier:
    """A tier of one node: how many sessions it has room for, small ones and those of 2,000 bytes, and how many it
    would get.
    """

    colo: str
    name: str
    held: int
    held_max: int
    large_max: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole prediction; ``faults`` say what will not fit, ``notes`` what was counted another way than it looks."""

    nodes: tuple[PlannedNode, ...]
    links: tuple[PlannedLink, ...]
    faults: tuple[str, ...]
    tiers: tuple[PlannedTier, ...] = ()
    notes: tuple[str, ...] = ()


def predict(settings: Settings, load: Load) -> Plan:
    """Predict a mesh whose every node has these settings, in another colo each group. Handshakes are spread evenly."""
    nodes = tuple(_node(settings, load, colo) for colo in load.colos)
    links = tuple(_links(settings, load))
    faults = tuple(_faults(settings, load, nodes))
    return Plan(nodes, links, faults, tuple(_tiers(settings, nodes)), tuple(_notes(settings)))


def _notes(settings: Settings) -> Iterator[str]:
    """Yield how VIPs are counted whose clients keep their sessions, or some of them."""
    for vip in settings.vips:
        if vip.resumption == "tickets":
            yield (
                f'VIP {vip.name}: with resumption = "tickets" clients keep their sessions themselves; a handshake '
                "costs the mesh and the cache nothing"
            )
        elif vip.resumption == "both" and vip.min_tls != "1.3":
            yield (
                f'VIP {vip.name}: with resumption = "both" clients of TLS 1.2 that take tickets keep their sessions '
                "themselves; they are counted like all others, so it will be less"
            )


def _tiers(settings: Settings, nodes: tuple[PlannedNode, ...]) -> Iterator[PlannedTier]:
    disk = settings.tier.disk
    if disk is None:
        return
    lifetimes = {vip.name: vip.sharing.lifetime_s for vip in settings.vips}
    for node in nodes:
        held = sum((vip.made_per_s + vip.taken_per_s) * lifetimes[vip.name] for vip in node.vips)
        room = disk.max_bytes * DISK_FULL
        yield PlannedTier(
            node.colo, "disk", int(held), int(room / DISK_BYTES.value), int(room / DISK_LARGE_BYTES.value)
        )


def _made_per_s(settings: Settings, load: Load, vip: VipSettings) -> float:
    """Return what one VIP makes on one node for caches to keep: one session for each resumed handshake, for a full one
    as many as it gives tickets; none where the tickets are the sessions.
    """
    if vip.resumption == "tickets":
        return 0.0
    return load.per_node / len(settings.vips) * (load.resumed + (1 - load.resumed) * vip.tickets)


def _handshake_us(settings: Settings, resumed: float) -> float:
    """CPU of a handshake on average; a full one gives further tickets as the VIPs do on average."""
    further = sum(vip.tickets - 1 for vip in settings.vips) / len(settings.vips)
    return resumed * RESUMED_US.value + (1 - resumed) * (FULL_US.value + further * TICKET_US.value)


def _reaches(vip: VipSettings, load: Load, colo: str) -> list[str]:
    """Return the other colos that get copies of this VIP's sessions from those of `colo`, and the other way."""
    if vip.push == "none" or vip.resumption == "tickets":
        return []
    reach = vip.sharing.reach
    return [other for other in load.colos if other != colo and reach.allows(colo, other) and reach.allows(other, colo)]


def _inside(vip: VipSettings, load: Load, colo: str) -> int:
    """Return peers in the own colo that get one of this VIP's sessions."""
    return _copies(vip, load.colos[colo]) - 1 if vip.sharing.reach.allows(colo, colo) else 0


def _copies(vip: VipSettings, nodes: int) -> int:
    """Return how many of a colo's nodes hold a session."""
    return min(vip.copies_told or nodes, nodes)


def _vip(settings: Settings, load: Load, colo: str, vip: VipSettings) -> PlannedVip:
    made = _made_per_s(settings, load, vip)
    nodes = load.colos[colo]
    abroad = sum(load.colos[other] for other in _reaches(vip, load, colo))
    taken = made * (_inside(vip, load, colo) + abroad * _copies(vip, nodes) / nodes)
    quota = settings.quota_of(vip.name)
    held_max = min(settings.cache.max_sessions * quota, settings.cache.max_bytes * quota / _ENTRY_BYTES)
    rate = made + taken
    held_for_s = min(vip.sharing.lifetime_s, held_max / rate if rate else vip.sharing.lifetime_s)
    return PlannedVip(vip.name, made, taken, ceil(rate * vip.sharing.lifetime_s), int(held_max), held_for_s)


def _node(settings: Settings, load: Load, colo: str) -> PlannedNode:
    vips = tuple(_vip(settings, load, colo, vip) for vip in settings.vips)
    sent = messages = out = 0.0
    for vip in settings.vips:
        made = _made_per_s(settings, load, vip)
        inside, others = _inside(vip, load, colo), _reaches(vip, load, colo)
        receivers = inside + len(others)
        relayed = made * sum(load.colos[other] for other in others) / load.colos[colo]
        batch = _batch(made, receivers)
        copies = made * receivers + relayed * min(_copies(vip, load.colos[colo]), load.colos[colo] - 1)
        sent += copies
        messages += copies / batch
        out += copies * wire_bytes(batch)
    taken = sum(vip.taken_per_s for vip in vips)
    beats = (load.colos[colo] - 1 + 2 * (len(load.colos) - 1)) * BEAT_BYTES.value
    making = [vip.made_per_s for vip in vips if vip.made_per_s]
    batch_in = _batch(sum(making) / max(len(making), 1), load.colos[colo] - 1)
    held = sum(min(vip.held, vip.held_max) for vip in vips)
    return PlannedNode(
        colo=colo,
        vips=vips,
        sent_per_s=sent,
        messages_per_s=messages,
        bytes_in_per_s=taken * wire_bytes(batch_in) + beats,
        bytes_out_per_s=out + beats,
        cpu_handshakes=load.per_node * _handshake_us(settings, load.resumed) / 1e6,
        cpu_mesh=(taken * (TAKE_US.value + TAKE_MESSAGE_US.value / batch_in) + messages * SEND_US.value) / 1e6,
        memory_bytes=int(held * HELD_BYTES.value),
    )


def _batch(made_per_s: float, receivers: int) -> float:
    """Return sessions that one message carries: what is made while the last one was sent
    (`core.values.limits.Limits.flush_s`).
    """
    return max(1.0, made_per_s * Limits().flush_s(receivers))


def _links(settings: Settings, load: Load) -> Iterator[PlannedLink]:
    for source in load.colos:
        for target in load.colos:
            crossing = [vip for vip in settings.vips if target in _reaches(vip, load, source)]
            if source == target or not crossing:
                continue
            made = {vip.name: _made_per_s(settings, load, vip) for vip in crossing}
            sessions = sum(made.values()) * load.colos[source]
            size = sum(
                wire_bytes(_batch(made[vip.name], _inside(vip, load, source) + 1)) * made[vip.name] for vip in crossing
            ) / sum(made.values())
            yield PlannedLink(source, target, sessions, sessions * size)


def _faults(settings: Settings, load: Load, nodes: tuple[PlannedNode, ...]) -> Iterator[str]:
    """Yield what will not fit, each once, with what would help."""
    yield from _crowded(settings, load, nodes)
    worst = max(nodes, key=lambda node: node.taken_per_s)
    if worst.taken_per_s > INGRESS_PER_S_MAX.value:
        yield (
            f"a node in {worst.colo} would take in {worst.taken_per_s:,.0f} sessions/s, over "
            f"{INGRESS_PER_S_MAX.value:,.0f}: narrow vip.sharing.reach, or share within fewer nodes"
        )
    busiest = max(nodes, key=lambda node: node.cpu_handshakes + node.cpu_mesh)
    cores = busiest.cpu_handshakes + busiest.cpu_mesh
    if cores > CPU_CORES_MAX.value:
        yield (
            f"a node in {busiest.colo} would need {cores:.2f} cores, over {CPU_CORES_MAX.value:g}: "
            f"use {ceil(load.nodes * cores / CPU_CORES_MAX.value)} nodes or more"
        )
    limits = Limits()
    peers = max(load.colos.values()) - 1 + 2 * (len(load.colos) - 1)
    if peers > limits.peers_max:
        yield f"a node would have {peers:,} peers, over {limits.peers_max:,}: divide the largest colo"
    if load.nodes > limits.roster_max:
        yield f"{load.nodes:,} nodes are more than a mesh can know of ({limits.roster_max:,})"


def _crowded(settings: Settings, load: Load, nodes: tuple[PlannedNode, ...]) -> Iterator[str]:
    for vip in settings.vips:
        of_vip = [(node, each) for node in nodes for each in node.vips if each.name == vip.name]
        node, each = max(of_vip, key=lambda pair: pair[1].held)
        if each.held > each.held_max:
            factor = each.held / each.held_max
            yield (
                f"VIP {vip.name} in {node.colo} meets {each.held:,} sessions within its lifetime_s, and has room "
                f"for {each.held_max:,}: kept {each.held_for_s:,.0f} s of {vip.sharing.lifetime_s:,.0f} s. "
                f"Make the cache (max_sessions and max_bytes) {factor:.1f} times as large, or lower lifetime_s"
                f"{_fewer_copies(settings, load, vip)}"
            )


COPIES_LEAST = 2
"""Recommended: with one, what a server made dies with it."""


def _fewer_copies(settings: Settings, load: Load, vip: VipSettings) -> str:
    """Return in words the most copies that every node has room for, if any number is fewer than there are."""
    most = vip.copies_told or max(load.colos.values())
    for copies in range(min(most - 1, COPIES_MAX), COPIES_LEAST - 1, -1):
        fewer = vip.model_copy(update={"copies": copies})
        if all(each.held <= each.held_max for colo in load.colos for each in [_vip(settings, load, colo, fewer)]):
            return f", or set copies = {copies}: then a node meets so many only, and fetches others (docs/copies.md)"
    return ""
