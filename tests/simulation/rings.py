"""Ticket rings: clients get tickets and come back with them anywhere, while nodes are split, stalled and killed.

Knows of the core only which keys it has and which one it encrypts with; who may share them is written here anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from meshcache.core.values.limits import Limits
from tests.simulation import builder
from tests.simulation.faults import CALM, Cut, NetworkOptions
from tests.simulation.host import Host
from tests.simulation.ring_keys import RingKeys, border
from tests.simulation.run import Run
from tests.simulation.safety import ViolationError
from tests.simulation.truth import Policy, VipTruth
from tests.simulation.workload import any_reach
from tests.simulation.world import World

LIMITS = Limits(
    ticket_spread_s=8.0,
    ticket_step_s=0.5,
    ticket_step_s_max=6.0,
    ticket_overrun_s=30.0,
    ticket_first_s=3.0,
    ticket_status_s=4.0,
    ticket_quiet_s=6.0,
    heartbeat_s=2.5,
    probe_after_s=3.0,
    probe_s=0.25,
    suspect_s=5.0,
    sweep_s=5.0,
)
"""The times of keys some eight times shorter than the real ones, so that a run has several rotations. A peer is lost as
soon as ever, but by fewer heartbeats and questions: those were most of what a run cost, and say nothing of keys."""

ROTATE_S, LIFETIME_S = 60.0, 40.0
LASTS_S = 240.0

SETTLE_S = 30.0
"""After a cut, a stall or a start: until a node has what the others have. Half is what it takes to call one lost."""

SLACK_S = 4.0
"""What messages take, and clocks run apart: so close to its end a ticket may open or not."""

LATE_S = 25.0
"""What a key's message may have waited, and its age with it, until somebody tells the truer age."""

KEPT_S = ROTATE_S + LIMITS.ticket_overrun_s + LIFETIME_S + LATE_S + SLACK_S
"""Since a key was first seen anywhere, until nobody has it any more."""

_TOLD_S = 10.0
"""A withdraw is everywhere by then, where nothing is the matter."""

_PER_S = 3
"""Tickets that are made in a second."""

_NAMES = ("api", "shop")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a client keeps. ``key_age`` is what the maker's TLS edge writes into it."""

    key: bytes
    key_age: float
    maker: str
    vip: str
    terms: VipTruth
    made_at: float
    maker_settled: bool
    missed: frozenset[str]
    """Nodes that weren't settled when it was made."""


class Rings:
    """The world's tickets, and the rules that hold for them. Raises `ViolationError` at the visit that breaks one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self.tickets: list[Ticket] = []
        self.opened = self.refused = self.most = 0
        self.disturbed: dict[str, float] = defaultdict(float)
        self.cuts: list[Cut] = []
        self._using: dict[tuple[str, str], bytes] = {}
        self.keys = RingKeys(world, KEPT_S)
        world.watchers.append(self.keys)
        self.withdrawn: dict[str, list[tuple[float, str]]] = defaultdict(list)
        """By group: when, and by whom."""

    def settled(self, name: str) -> bool:
        """Whether nothing has happened to a node for long enough."""
        host = self._world.hosts[name]
        cut = any(name in cut.sources | cut.targets for cut in self.cuts)
        return host.up and not host.stalled and not cut and self._world.now - self.disturbed[name] > SETTLE_S

    def disturb(self, *names: str) -> None:
        for name in names:
            self.disturbed[name] = self._world.now

    def visit(self) -> None:
        """A client gets a ticket, or comes back with one."""
        hosts = [host for host in self._world.alive() if not host.stalled]
        if not hosts:
            return
        host = self._rng.choice(hosts)
        vip = self._rng.choice(sorted(self._policy(host)))
        if not self.tickets or self._rng.random() < 0.3:
            self._give(host, vip)
        else:
            within_s = self._rng.choice((1.0, LIFETIME_S, 1.5 * LIFETIME_S, 5 * LIFETIME_S))
            self._open(host, vip, self._rng.choice(self.tickets[-round(_PER_S * within_s) :]))

    def first_use(self) -> None:
        """Wherever a key has just begun to encrypt, a client gets a ticket of it and comes back to all at once."""
        for host in self._world.alive():
            for vip in sorted(self._policy(host)) if not host.stalled else ():
                ring = host.core.tickets.rings.of_vip(vip)
                name = b"" if ring is None or ring.current is None else ring.current.name
                if name != self._using.get((host.name, vip), b""):
                    self._using[host.name, vip] = name
                    self._return_everywhere(host, vip)

    def _return_everywhere(self, host: Host, vip: str) -> None:
        made = len(self.tickets)
        self._give(host, vip)
        for ticket in self.tickets[made:]:
            for other in self._world.alive():
                if not other.stalled and vip in self._policy(other):
                    self._open(other, vip, ticket)

    def judge(self) -> None:
        """No connected part uses more than two keys of one ring, and nobody keeps one beyond its end."""
        self.keys.judge()
        used: dict[tuple[object, ...], set[bytes]] = defaultdict(set)
        for host in self._world.alive():
            if not self.settled(host.name):
                continue
            for vip, terms in self._policy(host).items():
                found = host.core.tickets.of_vip(vip, host.now())
                if found is not None and found.encrypting is not None:
                    used[self._border(host, terms)].add(found.encrypting.name)
        for where, names in used.items():
            self.most = max(self.most, len(names))
            if len(names) > 2:
                raise ViolationError(f"{len(names)} keys encrypt at a time in {where} at {self._world.now:.1f} s")

    def withdraw(self, host: Host, vip: str) -> None:
        """An operator ends a VIP's tickets."""
        self._world.fired("withdraw")
        host.core.withdraw(host.now(), vip=vip)
        for group in {terms.group for policy in self._policies() for name, terms in policy.items() if name == vip}:
            self.withdrawn[group].append((self._world.now, host.name))
        host.step()

    def agreed(self) -> list[str]:
        """In the end every node of a ring encrypts with the same key: says which don't."""
        used: dict[tuple[object, ...], dict[str, bytes]] = defaultdict(dict)
        for host in self._world.alive():
            for vip, terms in self._policy(host).items():
                found = host.core.tickets.of_vip(vip, host.now())
                name = b"" if found is None or found.encrypting is None else found.encrypting.name
                used[self._border(host, terms)][f"{host.name}/{vip}"] = name
        return [str(where) for where, names in used.items() if len(set(names.values())) > 1 or b"" in names.values()]

    def _give(self, host: Host, vip: str) -> None:
        found = host.core.tickets.of_vip(vip, host.now())
        if found is None or found.encrypting is None:
            return
        key, now = found.encrypting, self._world.now
        unsettled = frozenset(name for name in self._world.hosts if not self.settled(name))
        terms = self._policy(host)[vip]
        self.tickets.append(
            Ticket(key.name, host.now() - key.born_at, host.name, vip, terms, now, self.settled(host.name), unsettled)
        )

    def _open(self, host: Host, vip: str, ticket: Ticket) -> None:
        found = host.core.tickets.of_vip(vip, host.now())
        key = found and next((key for key in found.opening if key.name == ticket.key), None)
        opens = False
        if found and key is not None and host.now() < found.ring.opens_until(key):
            age = host.now() - key.born_at - ticket.key_age
            opens = age <= min(key.lifetime_s, LIFETIME_S)
        self.opened += opens
        self.refused += not opens
        if opens:
            self._may_open(host, vip, ticket)
        else:
            self._may_refuse(host, vip, ticket)

    def _may_open(self, host: Host, vip: str, ticket: Ticket) -> None:
        age = self._world.now - ticket.made_at
        if not self._shared(host, self._policy(host)[vip], ticket):
            raise self._violation("opens beyond its border", host, vip, ticket)
        if age > LIFETIME_S + SLACK_S + LATE_S:
            raise self._violation("opens after its end", host, vip, ticket)
        for at, issuer in self.withdrawn[ticket.terms.group]:
            told = self.settled(host.name) and self.settled(issuer) and self._world.now - at > _TOLD_S
            if ticket.made_at < at and told:
                raise self._violation("opens though it was withdrawn", host, vip, ticket)

    def _may_refuse(self, host: Host, vip: str, ticket: Ticket) -> None:
        age = self._world.now - ticket.made_at
        due = (
            self._shared(host, self._policy(host)[vip], ticket)
            and age < LIFETIME_S - SLACK_S
            and self.settled(host.name)
            and (self.settled(ticket.maker) or (ticket.maker_settled and host.name not in ticket.missed))
            and self._world.truth.changed_at[ticket.maker] < ticket.made_at - SETTLE_S
            and self._same(ticket)
        )
        # A part that was cut off goes on with keys that a withdraw has ended, until it hears of it; so it does with one
        # that it made so soon afterwards that no clock can tell.
        born_at = min(ticket.made_at - SETTLE_S, ticket.made_at - ticket.key_age - LIMITS.ticket_quiet_s)
        ended = any(at > born_at for at, _ in self.withdrawn[ticket.terms.group])
        if due and not ended:
            raise self._violation("is refused within its lifetime", host, vip, ticket)

    def _same(self, ticket: Ticket) -> bool:
        """Whether its maker still serves the VIP as it did."""
        return self._world.truth.policies[ticket.maker][-1].get(ticket.vip) == ticket.terms

    def _shared(self, host: Host, own: VipTruth, ticket: Ticket) -> bool:
        """Whether a node's VIP is in the ring that a ticket was made in: group, settings and border are the same."""
        maker = self._world.hosts[ticket.maker]
        return self._border(host, own) == self._border(maker, ticket.terms)

    def _border(self, host: Host, terms: VipTruth) -> tuple[object, ...]:
        return border(host.name, host.colo, terms)

    def _policy(self, host: Host) -> Policy:
        return self._world.truth.policies[host.name][host.version]

    def _policies(self) -> list[Policy]:
        return [self._policy(host) for host in self._world.hosts.values()]

    def _violation(self, what: str, host: Host, vip: str, ticket: Ticket) -> ViolationError:
        made = f"made by {ticket.maker} for {ticket.vip} at {ticket.made_at:.2f} s"
        where = f"{what} on {host.name} for {vip} at {self._world.now:.2f} s"
        return ViolationError(f"a ticket of key {ticket.key.hex()[:8]}, {made}, {where}")


class RingTrouble:
    """Cuts that outlast rotations, stalls, deaths, restarts, other policies and withdraws, drawn from the seed."""

    def __init__(self, world: World, rings: Rings) -> None:
        self._world, self._rings, self._rng = world, rings, world.rng

    def plan(self) -> None:
        """Choose how much of each, and when."""
        rng = self._rng
        if rng.random() < 0.5:
            lossy = NetworkOptions(drop=0.3 * rng.random(), duplicate=0.1, reorder=0.1, delay_mean_s=0.005)
            self._world.network.options = lossy
        for action, most in (
            (self._cut, 3),
            (self._stall, 3),
            (self._restart, 4),
            (self._die, 1),
            (self._change, 2),
            (self._withdraw, 2),
            (self._rotate, 2),
        ):
            for _ in range(rng.randrange(most + 1)):
                self._world.scheduler.after(rng.random() * LASTS_S * 0.85, action)

    def end(self) -> None:
        """Heal everything."""
        self._world.network.options = CALM
        for cut in list(self._rings.cuts):
            self._heal(cut)
        for host in self._world.alive():
            host.resume()

    def _someone(self, then: Callable[[Host], None]) -> None:
        hosts = [host for host in self._world.alive() if not host.stalled]
        if hosts:
            then(self._rng.choice(hosts))

    def _cut(self) -> None:
        alive = [host.name for host in self._world.alive()]
        if len(alive) < 2:
            return
        some = frozenset(self._rng.sample(alive, self._rng.randrange(1, len(alive))))
        cut = Cut(some, frozenset(self._world.hosts) - some)
        self._rings.cuts.append(cut)
        self._world.network.cut(cut)
        self._world.scheduler.after(5 + 115 * self._rng.random(), self._heal, cut)

    def _heal(self, cut: Cut) -> None:
        if cut in self._rings.cuts:
            self._rings.cuts.remove(cut)
            self._world.network.heal(cut)
            self._rings.disturb(*self._world.hosts)

    def _stall(self) -> None:
        def then(host: Host) -> None:
            seconds = 0.2 + 15 * self._rng.random()
            self._world.stall(host, seconds)
            self._world.scheduler.after(seconds, self._rings.disturb, host.name)

        self._someone(then)

    def _restart(self) -> None:
        def then(host: Host) -> None:
            self._world.kill(host)
            self._world.scheduler.after(10 * self._rng.random() ** 2, self._again, host.name)

        self._someone(then)

    def _again(self, name: str) -> None:
        self._world.restart(name, self._world.truth.policies[name][-1])
        self._rings.disturb(name)

    def _die(self) -> None:
        if len(self._world.alive()) > 2:
            self._someone(self._world.kill)

    def _change(self) -> None:
        def then(host: Host) -> None:
            policy = dict(self._world.truth.policies[host.name][host.version])
            vip = self._rng.choice(sorted(policy))
            policy[vip] = replace(policy[vip], reach=any_reach(self._world))
            self._world.fired("policy change")
            self._world.set_vip(host, vip, policy)
            self._rings.disturb(host.name)

        self._someone(then)

    def _withdraw(self) -> None:
        self._someone(lambda host: self._rings.withdraw(host, self._rng.choice(_NAMES)))

    def _rotate(self) -> None:
        def then(host: Host) -> None:
            vip = self._rng.choice(sorted(self._world.truth.policies[host.name][host.version]))
            try:
                host.core.tickets.rotate(vip, host.now())
            except ValueError:
                return
            self._world.fired("rotate")
            host.step()

        self._someone(then)


def play(run: Run) -> None:
    """Draw a world of rings, let clients come and trouble happen, and see that all agree in the end."""
    world = run.world
    world.limits = LIMITS
    _draw(world)
    rings = Rings(world)
    trouble = RingTrouble(world, rings)
    rings.disturb(*world.hosts)
    trouble.plan()

    def step() -> None:
        rings.visit()
        rings.first_use()
        if world.rng.random() < 0.2:
            rings.judge()

    world.run(LASTS_S, step, every=0.1)
    trouble.end()
    rings.disturb(*world.hosts)
    world.run(SETTLE_S + 15.0, step, every=0.1)
    world.until(lambda: not rings.agreed(), within=ROTATE_S / 4)  # that moment may be one of a rotation
    disagreeing = rings.agreed()
    if disagreeing:
        raise ViolationError(f"no one key encrypts in the end in {disagreeing[0]}")
    run.report.figures |= {"tickets": len(rings.tickets), "opened": rings.opened, "refused": rings.refused}
    run.report.figures |= {"keys_at_once": rings.most, "keys_sent": rings.keys.sent_keys}


def _draw(world: World) -> None:
    """Up to three colos, ten nodes, two VIPs of one or two groups, mostly alike on all nodes."""
    rng = world.rng
    colos = world.colos = builder.COLOS[: rng.randrange(1, 4)]
    groups = rng.choice((("one", "one"), ("one", "two")))
    vips = {
        name: VipTruth(group, builder.SETTINGS, any_reach(world), lifetime_s=LIFETIME_S, rotate_s=ROTATE_S)
        for name, group in zip(_NAMES, groups, strict=True)
    }
    seeds = tuple(f"{colo}-{number}:7946" for number in range(3) for colo in colos)
    for colo in colos:
        for number in range(rng.randrange(1 if len(colos) > 1 else 3, 5)):
            policy = {name: vip for name, vip in vips.items() if rng.random() < 0.9} or dict(vips)
            for name in policy:
                if rng.random() < 0.1:
                    policy[name] = replace(policy[name], settings=b"\x02" * 32)
            world.start(f"{colo}-{number}", colo, policy, seeds)
