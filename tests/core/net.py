"""A tiny network in memory for tests of the core: a clock that jumps, links with a delay, faults that are asked for."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

from meshcache import hot
from meshcache.core.cache.entry import Entries
from meshcache.core.cache.vip_cache import VipCache, VipEntries
from meshcache.core.mesh import MeshCore, Outgoing
from meshcache.core.policy.gates import REACH_COLO, Reach, Terms
from meshcache.core.state.tls_edge import NoTlsEdge
from meshcache.core.values.events import Event
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import Identity, LocalVip, NodeRecord, VipNote
from meshcache.core.wire.codec import Decoder, encode
from meshcache.core.wire.messages import Batch, Hello, Message, Ping, Pong

T = TypeVar("T")

DIGEST = b"\x01" * 32
DER = b"\x30" + b"d" * 133
START = 1000.0
DELAY_S = 0.001
DEFAULT_TABLE: Callable[[int, int], VipEntries] = VipCache if hot.compiled is None else hot.compiled.VipCache
"""What a node uses; with MESHCACHE_PURE set the same tests are about the one in Python."""

Fault = Callable[[str, str, bytes], bool]
"""Sender, receiver, payload -> whether the message is lost."""


class Host:
    """One core and what happened to it."""

    def __init__(self, name: str, core: MeshCore, address: str, colo: str, connection: bytes, edge: NoTlsEdge) -> None:
        self.name = name
        self.connection = connection
        self.deadline = 0.0
        self.core = core
        self.edge = edge
        self.address = address
        self.colo = colo
        self.up = True
        self.history: list[Event] = []
        self.stalled_until = 0.0

    def happened(self, kind: type) -> list[Any]:
        """Events of one kind so far."""
        self.history += self.core.events()
        return [event for event in self.history if isinstance(event, kind)]


class Net:
    """Hosts, messages under way and one clock; the same seed gives the same run."""

    def __init__(self, seed: int = 1, delay_s: float = DELAY_S, limits: Limits | None = None) -> None:
        self.now = START
        self.rng = random.Random(seed)
        self.make_vip_cache: Callable[[int, int], VipEntries] = DEFAULT_TABLE
        self.hosts: dict[str, Host] = {}
        self.delay_s = delay_s
        self.limits = limits or Limits()
        self.lose: Fault = lambda _sender, _receiver, _payload: False
        self.sent: list[tuple[str, str, bytes, int]] = []
        self.lost = 0
        self.by_address: dict[str, Host] = {}
        self._agenda: list[tuple[float, int, Host, tuple[bytes, bytes] | None]] = []
        self._order = count()
        self._incarnations = count(1)

    def add(
        self,
        name: str,
        colo: str = "ams1",
        *vips: LocalVip,
        seeds: tuple[str, ...] = (),
        incarnation: int = 0,
        address: str = "",
    ) -> Host:
        """Start a host, or start it anew under its old name and address; with another address it is a second one."""
        key = f"{name}@{address}" if address else name
        address = address or f"{name}:7946"
        identity = Identity("test", name, incarnation or next(self._incarnations), colo, address, "0")
        edge = NoTlsEdge()
        core = MeshCore(
            identity,
            rng=random.Random(self.rng.random()),
            now=self.now,
            limits=self.limits,
            make_vip_cache=self.make_vip_cache,
            edge=edge,
        )
        host = self.hosts[key] = self.by_address[address] = Host(
            name, core, address, colo, b"%s#%d" % (address.encode(), identity.incarnation), edge
        )
        for vip in vips:
            core.set_vip(vip, self.now)
        for seed in seeds:
            core.candidate(seed, "seed", self.now)
        return host

    def stop(self, name: str) -> None:
        """Kill a host without a word."""
        self.hosts[name].up = False

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        for host in self.hosts.values():
            self._touched(host)
        while self._agenda and self._agenda[0][0] <= end:
            at, _, host, flight = heapq.heappop(self._agenda)
            if not host.up or (flight is None and at != host.deadline):
                continue  # a timer that was set anew meanwhile
            self.now = max(self.now, at)
            if flight is not None:
                host.core.receive(*flight, self.now)
            else:
                host.core.handle_timer(self.now)
            self._touched(host)
        self.now = end

    def until(self, reached: Callable[[], bool], within: float = 10.0) -> float:
        """Let time pass until something holds; says how long it took. Fails when it takes longer than `within`."""
        began = self.now
        while not reached():
            assert self.now - began < within, f"not reached within {within} s"
            self.run(0.01)
        return self.now - began

    def _touched(self, host: Host) -> None:
        """Something happened to a host: send what it has to send, and look when it wants to be called next."""
        if not host.up or host.stalled_until > self.now:
            host.deadline = host.stalled_until
        else:
            for message in host.core.messages_to_send(self.now):
                self._send(host, message)
            host.deadline = max(host.core.next_deadline(), self.now)
        heapq.heappush(self._agenda, (host.deadline, next(self._order), host, None))

    def _send(self, host: Host, message: Outgoing) -> None:
        receiver = self.by_address.get(message.address)
        self.sent.append((host.name, message.address, message.payload, message.sessions))
        if receiver is None or not receiver.up or self.lose(host.name, receiver.name, message.payload):
            self.lost += 1
            return
        at = max(self.now + self.delay_s, receiver.stalled_until)
        flight = (host.connection, message.payload)
        heapq.heappush(self._agenda, (at, next(self._order), receiver, flight))


def vip(
    node: str,
    colo: str = "ams1",
    name: str = "shop",
    *,
    group: str = "",
    reach: Reach = REACH_COLO,
    digest: bytes = DIGEST,
    sessions: int = 10_000,
    lifetime_s: float = 3600.0,
    lineage_s: float = 86400.0,
    certified: bool = False,
    rotate_s: float | None = None,
    copies: int = 0,
    push: bool = True,
) -> LocalVip:
    """A VIP as a node serves it; with `rotate_s` one that has tickets."""
    terms = Terms(node, colo, name, group or name, digest, reach, copies, push)
    return LocalVip(terms, lifetime_s, lineage_s, sessions * 1024, sessions, certified, rotate_s=rotate_s)


def mesh(net: Net, names: list[str], colo: str = "ams1", reach: Reach = REACH_COLO, **settings: Any) -> list[Host]:
    """A colo of hosts that serve one VIP and know the first of them as their seed."""
    seeds = (f"{next(iter([*net.hosts, *names]))}:7946",)
    return [net.add(name, colo, vip(name, colo, reach=reach, **settings), seeds=seeds) for name in names]


def sid(number: int) -> bytes:
    """A session id."""
    return b"\x5e" + number.to_bytes(31, "big")


def make(net: Net, host: Host, number: int, name: str = "shop", **facts: Any) -> bytes:
    """Let a host make a session."""
    host.core.session_created(name, sid(number), DER, net.now, **facts)
    return sid(number)


def has(net: Net, host: Host, session_id: bytes, name: str = "shop") -> bool:
    """Whether a session would resume on a host."""
    return host.core.lookup(name, session_id, net.now).session is not None


class Puppet:
    """A member whose messages a test writes by hand: honest at first, and then as hostile as the test likes."""

    def __init__(self, net: Net, name: str, colo: str = "ams1", *vips: LocalVip, incarnation: int = 7) -> None:
        self.net = net
        self.name = name
        self.incarnation = incarnation
        self.colo = colo
        self.address = f"{name}:7946"
        in_order = sorted(vips, key=lambda served: served.terms.vip)
        self.vips = tuple(served.terms for served in in_order)
        self.notes = tuple(VipNote(tickets=served.rotate_s is not None) for served in in_order)
        self.revision = 1
        self._decoder = Decoder()

    @property
    def record(self) -> NodeRecord:
        """What it says of itself."""
        return NodeRecord(
            self.name, self.incarnation, self.colo, self.address, self.revision, self.vips, "0", self.notes
        )

    def joins(self, host: Host, **facts: Any) -> None:
        """Introduce itself to a host."""
        self.says(host, Hello("test", self.record, **facts))

    def says(self, host: Host, message: Message, connection: bytes | None = None) -> None:
        """Send a host any message."""
        payload = encode(self.name, self.incarnation, message)
        host.core.receive(connection or self.name.encode(), payload, self.net.now)

    def answers(self, host: Host) -> None:
        """Answer every ping that it was sent, so that the host knows how long the way takes."""
        for ping in self.hears(Ping):
            self.says(host, Pong(ping.token))

    def lives(self, host: Host, seconds: float, *others: Puppet) -> None:
        """Let time pass in which it, and others, give signs of life."""
        end = self.net.now + seconds
        while self.net.now < end:
            for puppet in (self, *others):
                puppet.says(host, Pong(0))
            self.net.run(min(0.5, end - self.net.now))

    def hears(self, kind: type[T]) -> list[T]:
        """What hosts have sent it of one kind."""
        self.net.run(0)
        payloads = [payload for _, address, payload, _ in self.net.sent if address == self.address]
        messages = [self._decoder.decode(payload).message for payload in payloads]
        return [message for message in messages if isinstance(message, kind)]

    def batch(self, first: int, count: int = 1, **facts: Any) -> Batch:
        """A batch of its own, or with other `facts` one it has no right to."""
        seqs = list(range(first, first + count))
        columns = Entries(seqs, [sid(seq) for seq in seqs], [DER] * count, [3600] * count, [0] * count, [0] * count)
        batch = Batch(self.vips[0], self.incarnation, self.record.age, first, first + count - 1, columns)
        return replace(batch, **facts)


def dropped(host: Host, net: Net) -> dict[str, int]:
    """What a host did not do, by reason."""
    reasons: dict[str, int] = host.core.stats(net.now)["gossip"]["dropped"]
    return reasons


def sessions(host: Host, net: Net, name: str = "shop") -> dict[str, Any]:
    """A host's counters of a VIP's sessions."""
    counters: dict[str, Any] = host.core.stats(net.now)["vips"][name]["sessions"]
    return counters
