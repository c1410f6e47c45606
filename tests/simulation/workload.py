"""What clients and operators do: sessions alone and in bursts, lookups, changed policies, withdraws.

Everything is drawn from the world's seed. Makes no trouble on the network; that is `trouble`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from meshcache.core.policy.gates import Verdict
from meshcache.core.repair.pulling import PullLimits
from meshcache.core.values.session_id import Claim, life_of, node_of
from tests.simulation.host import Host
from tests.simulation.safety import Safety
from tests.simulation.single_use import SingleUse
from tests.simulation.truth import Made, VipTruth
from tests.simulation.world import World

_FETCHES = PullLimits(0.05, far=True, far_s=0.3)
"""How far a simulated handshake has its session fetched, and how long it waits."""

_COPIES_MAX = 3

REACHES: tuple[str, ...] = ("server", "colo", "everywhere", "listed")


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """How much of each there is; rates are for the whole world, a second."""

    sessions: float = 12.0
    burst: float = 0.03
    """Share of sessions that come as a burst of up to `burst_sessions` on one node."""
    burst_sessions: int = 150
    lookups: float = 10.0
    policies: float = 0.15
    settings: float = 0.1
    """Share of policy changes that change the settings or group, which makes islands."""
    withdraws: float = 0.02
    unusable: float = 0.02
    short_lived: float = 0.2
    """Share of sessions that end within 10 to 60 s."""
    certified: float = 0.1
    copies: float = 0.0
    """Changes of how many nodes are to hold what is made for a VIP, half of them by an operator who tells all nodes."""
    pulls: float = 0.0
    """Handshakes that find nothing and have their session fetched, as far as it is allowed."""
    uses: float = 0.0
    """Handshakes that use the session up that they resume."""


class Workload:
    """Goes on until `stop`."""

    def __init__(self, world: World, safety: Safety, options: WorkOptions, single_use: SingleUse | None = None) -> None:
        self._world = world
        self._single_use = single_use
        self._safety = safety
        self._options = options
        self._rng = world.rng
        self._on = True
        self.resumed = self.pulled = 0

    def start(self) -> None:
        """Begin all of it."""
        options = self._options
        self._every(options.sessions, self._sessions)
        self._every(options.lookups, self._lookup)
        self._every(options.pulls, self._pull)
        self._every(options.uses if self._single_use is not None else 0.0, self._use)
        self._every(options.policies, self._policy)
        self._every(options.copies, self._copies)
        self._every(options.withdraws, self._withdraw)
        self._every(options.unusable, self._unusable)

    def stop(self) -> None:
        """End all of it."""
        self._on = False

    def _every(self, rate: float, action: Callable[[Host], None]) -> None:
        if rate > 0:
            self._world.scheduler.after(self._rng.expovariate(rate), self._once, rate, action)

    def _once(self, rate: float, action: Callable[[Host], None]) -> None:
        if not self._on:
            return
        hosts = [host for host in self._world.alive() if not host.stalled]
        if hosts:
            action(self._rng.choice(hosts))
        self._every(rate, action)

    def _sessions(self, host: Host) -> None:
        options, rng = self._options, self._rng
        vip = rng.choice(sorted(self._policy_of(host)))
        for _ in range(rng.randrange(1, options.burst_sessions) if rng.random() < options.burst else 1):
            lifetime_s = 10 + 50 * rng.random() if rng.random() < options.short_lived else 3600.0
            certified = rng.random() < options.certified
            self._world.make(host, vip, lifetime_s=lifetime_s, certified=certified)

    def _lookup(self, host: Host) -> None:
        session = self._any_session()
        if session is None:
            return
        for vip in sorted(self._policy_of(host)):
            found = host.core.lookup(vip, session.id, host.now()).session
            if found is not None:
                self.resumed += 1
                self._resumed(host, vip, session, found.der)

    def _resumed(self, host: Host, vip: str, session: Made, der: bytes) -> None:
        self._safety.resumed(host, vip, session.id, der)
        if self._single_use is not None:
            self._single_use.accepted(host, session)

    def _use(self, host: Host) -> None:
        """A client resumes, on a VIP where sessions are good for one handshake."""
        session = self._any_session()
        for vip in sorted(self._policy_of(host)) if session is not None and self._single_use is not None else ():
            found = host.core.lookup(vip, session.id, host.now()).session
            if found is not None:
                self._resumed(host, vip, session, found.der)
                self._single_use.used(host, vip, session)

    def _pull(self, host: Host) -> None:
        """A client comes with an id that a node made; where the session isn't, others are asked for it."""
        session = self._any_session()
        if session is None:
            return
        wanted = Claim(session.id, node_of(session.node), life_of(session.node, 0), 0.0)
        for vip in sorted(self._policy_of(host)):
            if host.core.holds(vip, session.id):
                continue
            if host.core.pulling.begin(vip, wanted, _FETCHES, host.now()) is not None:
                host.core.awaiting.want(session.id)
                self._world.scheduler.after(_FETCHES.far_s, self._pull_ended, host, vip, session)
                host.step()

    def _pull_ended(self, host: Host, vip: str, session: Made) -> None:
        if host.up:
            host.core.awaiting.unwant(session.id)
            host.core.pulling.end(session.id, host.now())
            found = host.core.lookup(vip, session.id, host.now()).session
            if found is not None:
                self.pulled += 1
                self._world.fired("pulled")
                self._resumed(host, vip, session, found.der)

    def _policy(self, host: Host) -> None:
        policy = dict(self._policy_of(host))
        vip = self._rng.choice(sorted(policy))
        policy[vip] = self._changed(policy[vip])
        self._world.fired("policy change")
        self._world.set_vip(host, vip, policy)

    def _copies(self, host: Host) -> None:
        """Other numbers of copies, up to all, and with or without other colos: on one node, or on all of the mesh."""
        rng, vip = self._rng, self._rng.choice(sorted(self._policy_of(host)))
        copies = rng.randrange(_COPIES_MAX + 1)
        push = rng.random() < 0.7 or not copies
        hosts = [other for other in self._world.alive() if not other.stalled] if rng.random() < 0.5 else [host]
        for each in hosts:
            policy = dict(self._policy_of(each))
            if vip in policy:
                policy[vip] = replace(policy[vip], copies=copies, push=push)
                self._world.fired("copies changed")
                self._world.set_vip(each, vip, policy)

    def _changed(self, vip: VipTruth) -> VipTruth:
        rng = self._rng
        if rng.random() < self._options.settings:
            return replace(vip, settings=bytes([rng.randrange(1, 3)]) * 32)
        return replace(vip, reach=any_reach(self._world))

    def _withdraw(self, host: Host) -> None:
        session = self._any_session()
        if session is None:
            return
        if self._rng.random() < 0.5:
            for vip in sorted(self._policy_of(host)):
                if host.core.withdraw_session(vip, session.id, host.now()):
                    self._world.fired("withdraw")
                    session.withdrawn.append((host.name, host.incarnation))
        else:
            self._withdraw_all(host, session.vip, session.node)
        host.step()

    def _withdraw_all(self, host: Host, vip: str, node: str) -> None:
        self._world.fired("withdraw")
        host.core.withdraw(host.now(), vip=vip, origin=node)
        for session in self._world.truth.sessions.values():
            if (session.vip, session.node) == (vip, node):
                session.withdrawn.append((host.name, host.incarnation))
        self._world.truth.withdraws.append((vip, node, self._world.now))

    def _unusable(self, host: Host) -> None:
        session = self._any_session()
        if session is not None:
            session.spoilt = True
            for vip in sorted(self._policy_of(host)):
                if host.core.lookup(vip, session.id, host.now()).session is not None:
                    self._world.fired("unusable")
                    host.core.session_unusable(vip, session.id, Verdict.DER, host.now())

    def _any_session(self) -> Made | None:
        sessions = self._world.truth.sessions
        if not sessions:
            return None
        ids = self._recent(list(sessions))
        return sessions[self._rng.choice(ids)]

    def _recent(self, ids: list[bytes]) -> list[bytes]:
        return ids[-50:] if self._rng.random() < 0.5 else ids

    def _policy_of(self, host: Host) -> dict[str, VipTruth]:
        return dict(self._world.truth.policies[host.name][host.version])


def any_reach(world: World) -> str | frozenset[str]:
    """Any of the four, with some colos of the world, or one that isn't there, where they are listed."""
    chosen = world.rng.choice(REACHES)
    if chosen != "listed":
        return chosen
    return frozenset(world.rng.sample((*world.colos, "elsewhere"), world.rng.randrange(1, len(world.colos) + 1)))
