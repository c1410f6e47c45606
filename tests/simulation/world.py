"""A simulated world: nodes in colos with their VIPs, started, restarted, changed and stopped; and what came of it all.

Does what it is told; `workload` and `trouble` tell it, the checkers listen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Protocol

from meshcache import hot
from meshcache.core.cache.streams import Stream
from meshcache.core.cache.vip_cache import VipCache, VipEntries
from meshcache.core.mesh import MeshCore
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import Session
from meshcache.core.values.topology import Identity
from tests.simulation.clock import NodeClock, Scheduler
from tests.simulation.faults import Fired
from tests.simulation.host import Host
from tests.simulation.network import Flight, Network
from tests.simulation.truth import Made, Policy, Truth

TABLES: list[Callable[[int, int], VipEntries]] = (
    [VipCache] if hot.compiled is None else [hot.compiled.VipCache, VipCache]
)
"""What holds sessions, by the parity of a node's life: the compiled one, with the short way of pushes, and Python's."""

_RATE_OFF = 0.002
"""How far a clock may run apart: forty times what quartz does."""

_EPOCH_S = 1e9
"""What true wall clocks show at the start."""

_WALL_OFF_S = 4 * 3600.0
"""How far a machine's wall clock may be off, each way, after each time that it is set."""

_BEGAN_MAX = 1e6
"""Seconds that a machine may have been up."""


class Watcher(Protocol):
    """A checker that hears of every step."""

    def sent(self, host: Host, address: str, payload: bytes) -> None: ...
    def received(self, host: Host, flight: Flight) -> None: ...
    def changed(self, host: Host) -> None: ...


def _unwatched(*_said: object) -> None:
    """Nobody judges what this node says and hears."""


class World:
    """All nodes, alive or dead, by name. One seed gives one world and one run of it."""

    def __init__(self, seed: int, *, skewed: bool = True, limits: Limits | None = None) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.limits = limits or Limits()
        self.scheduler = Scheduler()
        self.fired = Fired()
        self.network = Network(self.scheduler, Random(self.rng.random()), self.fired)
        self.truth = Truth()
        self.hosts: dict[str, Host] = {}
        self.seeds: dict[str, tuple[str, ...]] = {}
        self.colos: tuple[str, ...] = ()
        self.places: dict[str, dict[str, float]] = {}
        """What each node that ended had in its state folder: where its peers listen."""
        self.introduced_by = "seed"
        """How nodes learn of their seeds: written down for good, or heard by "mdns" when they first start."""
        self.clones: list[Host] = []
        self.spoken_for: set[str] = set()
        """Of whom others said what he never said: if he is dead, nobody knows what to believe."""
        self.planned: set[str] = set()
        """Kinds of faults that the world was built with."""
        self.watchers: list[Watcher] = []
        self.endings: list[tuple[float, str]] = []
        """When a node was killed, or its operator or a copy of it may have made it let go of what it held."""
        self._skewed = skewed
        self._wall: dict[str, float] = {}
        self._lives: dict[str, set[int]] = {}

    @property
    def now(self) -> float:
        """The true time."""
        return self.scheduler.now

    def alive(self) -> list[Host]:
        """The nodes that run, in the order of names."""
        return [host for _, host in sorted(self.hosts.items()) if host.up]

    def start(self, name: str, colo: str, policy: Policy, seeds: tuple[str, ...] = ()) -> Host:
        """Start a node, or start it anew: nothing of its earlier life is left, except its name and its seeds."""
        incarnation = self._life(name)
        self.seeds[name] = seeds or self.seeds.get(name, ())
        host = Host(name, colo, incarnation, self._clock(), self.scheduler, self.network)
        identity = Identity("sim", name, incarnation, colo, host.address, "0")
        core = MeshCore(
            identity,
            rng=Random(self.rng.random()),
            now=host.now(),
            limits=self.limits,
            make_vip_cache=TABLES[incarnation % len(TABLES)],
        )
        core.duties.cache.call_when_evicted(self._dropped)
        host.on_received, host.on_sent = self._received, self._sent
        self.hosts[name] = host
        host.version = self.truth.declare(name, colo, policy, self.now)
        for vip, served in sorted(policy.items()):
            core.set_vip(served.local(name, colo, vip), host.now())
        host.start(core)
        first = name not in self.places
        for seed in self.seeds[name] if first or self.introduced_by == "seed" else ():
            core.candidate(seed, self.introduced_by, host.now())
        for address, heard_s in self.places.get(name, {}).items():
            core.remembered(address, heard_s, host.now())
        host.step()
        return host

    def clone(self, victim: Host) -> Host:
        """Start a second machine of a node's name, a copied image: another address, and nothing to share."""
        self.fired("clone")
        self.spoken_for.add(victim.name)
        self.endings.append((self.now, victim.name))
        clone = Host(f"clone-{len(self.clones)}", victim.colo, self._life(victim.name), self._clock(), *self._outside)
        identity = Identity("sim", victim.name, clone.incarnation, victim.colo, clone.address, "0")
        core = MeshCore(
            identity,
            rng=Random(self.rng.random()),
            now=clone.now(),
            limits=self.limits,
            make_vip_cache=TABLES[clone.incarnation % len(TABLES)],
        )
        for vip, served in sorted(self.truth.policies[victim.name][victim.version].items()):
            core.set_vip(replace(served, reach="server").local(victim.name, victim.colo, vip), clone.now())
        clone.on_received = clone.on_sent = _unwatched
        clone.start(core)
        for host in self.alive():
            core.candidate(host.address, "mdns", clone.now())
        self.clones.append(clone)
        clone.step()
        return clone

    def restart(self, name: str, policy: Policy | None = None) -> Host:
        """Start a node that was killed, as another incarnation."""
        self.fired("restart")
        old = self.hosts[name]
        return self.start(name, old.colo, policy or self.truth.policies[name][-1])

    def set_vip(self, host: Host, vip: str, policy: Policy) -> None:
        """Change one VIP of a node that runs; `policy` is what its whole policy is then.

        Who is told of other copies lets go of nothing.
        """
        old = self.truth.policies[host.name][host.version].get(vip)
        if old is None or replace(old, copies=policy[vip].copies, push=policy[vip].push) != policy[vip]:
            self.endings.append((self.now, host.name))
        host.version = self.truth.declare(host.name, host.colo, policy, self.now)
        host.core.set_vip(policy[vip].local(host.name, host.colo, vip), host.now())
        for watcher in self.watchers:
            watcher.changed(host)
        host.step()

    def kill(self, host: Host) -> None:
        """End a node without a word."""
        self.endings.append((self.now, host.name))
        self.fired("kill")
        host.events()
        self.places[host.name] = host.core.places(host.now())
        host.kill()

    def stall(self, host: Host, seconds: float) -> None:
        """Let nothing run on a node for a while."""
        if not host.stalled:
            self.fired("stall")
            host.stall()
            self.scheduler.after(seconds, self._resume, host)

    def make(
        self,
        host: Host,
        vip: str,
        *,
        lifetime_s: float = 3600.0,
        certified: bool = False,
    ) -> Made:
        """A client meets a node: one session more, unless the node would not keep it."""
        served = self.truth.policies[host.name][host.version][vip]
        session_id, der = self.rng.randbytes(32), self.rng.randbytes(self.rng.randrange(126, 160))
        expires_at = self.now + min(lifetime_s, served.lifetime_s)
        made = Made(
            *(session_id, der, host.name, host.incarnation, vip, served.group, served.settings),
            *(self.now, expires_at, certified, host.version),
        )
        self.truth.sessions[session_id] = made
        host.core.session_created(vip, session_id, der, host.now(), client_certificate=certified, lifetime_s=lifetime_s)
        host.step()
        return made

    def run(self, seconds: float, each: Callable[[], None] | None = None, every: float = 1.0) -> None:
        """Let time pass; `each` is called once in a while."""
        end = self.now + seconds
        while self.now < end:
            self.scheduler.run(min(self.now + every, end))
            if each is not None:
                each()

    def until(self, reached: Callable[[], bool], within: float, every: float = 0.05) -> float:
        """Let time pass until something holds; says how long it took, or `within` if it doesn't."""
        began = self.now
        while not reached() and self.now - began < within:
            self.scheduler.run(self.now + every)
        return self.now - began

    def pairs(self) -> Iterator[tuple[Host, Host]]:
        """Each living node with each other living one."""
        alive = self.alive()
        return ((host, other) for host in alive for other in alive if other is not host)

    @property
    def _outside(self) -> tuple[Scheduler, Network]:
        return self.scheduler, self.network

    def _life(self, name: str) -> int:
        """What the wall clock of a machine says when a node starts: up to hours off, and it may have been set since."""
        if not self._skewed:
            off_s = 0.0
        elif name not in self._wall or self.rng.random() < 0.5:
            if name in self._wall:
                self.fired("clock step")
            off_s = self._wall[name] = _WALL_OFF_S * (2 * self.rng.random() - 1)
        else:
            off_s = self._wall[name]
        lives = self._lives.setdefault(name, set())
        incarnation = round((_EPOCH_S + self.now + off_s) * 1000)
        while incarnation in lives:
            incarnation += 1
        lives.add(incarnation)
        return incarnation

    def _clock(self) -> NodeClock:
        if not self._skewed:
            return NodeClock(0.0, 1.0)
        self.fired("skew")
        return NodeClock(self.rng.random() * _BEGAN_MAX, 1 + _RATE_OFF * (2 * self.rng.random() - 1))

    def _resume(self, host: Host) -> None:
        if host.up:
            host.resume()

    def _received(self, host: Host, flight: Flight) -> None:
        for watcher in self.watchers:
            watcher.received(host, flight)

    def _sent(self, host: Host, address: str, payload: bytes) -> None:
        for watcher in self.watchers:
            watcher.sent(host, address, payload)

    def _dropped(self, session: Session, _stream: Stream) -> None:
        self.fired("evict")
        self.truth.sessions[session.id].spoilt = True
