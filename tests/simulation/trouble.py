"""Makes trouble: cuts, stalls, deaths, restarts, readers that stop, bad links. Draws it all from the world's seed.

Plans first and says what it planned, so that it can be asserted that all of it happened. Judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.simulation import deceit
from tests.simulation.faults import CALM, Cut, NetworkOptions
from tests.simulation.host import Host
from tests.simulation.workload import any_reach
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class TroubleOptions:
    """How much of each fault there is while trouble lasts; numbers are the most of each."""

    lasts_s: float = 40.0
    drop: float = 0.5
    duplicate: float = 0.2
    reorder: float = 0.2
    cuts: int = 3
    stalls: int = 3
    stall_s: float = 15.0
    restarts: int = 3
    deaths: int = 1
    unread: int = 1
    leaves: int = 1
    clones: int = 1
    lies: int = 4


class Trouble:
    """`plan` it, let time pass, then `end` it: nothing is cut, stalled or lossy any more. The dead stay dead."""

    def __init__(self, world: World, options: TroubleOptions) -> None:
        self._world = world
        self._options = options
        self._rng = world.rng
        self._cuts: list[Cut] = []
        self.planned: set[str] = set()

    def plan(self) -> None:
        """Choose how much of each kind there is this time, and when."""
        options = self._options
        self._links()
        for action, most in (
            (self._cut, options.cuts),
            (self._stall, options.stalls),
            (self._restart, options.restarts),
            (self._die, options.deaths),
            (self._unread, options.unread),
            (self._leave, options.leaves),
            (self._clone, options.clones if self._rng.random() < 0.3 else 0),
            (self._lie, options.lies if self._rng.random() < 0.3 else 0),
        ):
            for _ in range(self._rng.randrange(most + 1)):
                self._world.scheduler.after(self._rng.random() * options.lasts_s * 0.8, action)

    def end(self) -> None:
        """Heal everything that can be healed."""
        self._world.network.options = CALM
        for cut in self._cuts:
            self._world.network.heal(cut)
        for clone in self._world.clones:
            self._end_clone(clone)
        for host in self._world.alive():
            host.reads = True
            host.resume()

    def _links(self) -> None:
        """Each kind of bad link half of the time, and the bad ones as bad as the options allow."""
        chosen: dict[str, Any] = {}
        for kind in ("drop", "duplicate", "reorder"):
            most = getattr(self._options, kind)
            if most and self._rng.random() < 0.5:
                chosen[kind] = most * (0.1 + 0.9 * self._rng.random())
                self.planned.add(kind)
        delay_s = self._rng.choice((0.0005, 0.005, 0.05))
        self._world.network.options = replace(NetworkOptions(delay_mean_s=delay_s), **chosen)

    def _cut(self) -> None:
        alive = [host.name for host in self._world.alive()]
        if len(alive) < 2:
            return
        fewest = min(2, len(alive) // 2)
        some = frozenset(self._rng.sample(alive, self._rng.randrange(fewest, len(alive) - fewest + 1)))
        rest = frozenset(alive) - some
        cut = Cut(some, rest, one_way=self._rng.random() < 0.4)
        if not self._talk(some, rest):
            return  # between nodes that don't talk anyway it would never be seen to stop anything
        self._cuts.append(cut)
        self.planned.add(cut.kind)
        self._world.network.cut(cut)
        long_s = 15 if self._world.limits.forget_s < 60 else 0
        self._world.scheduler.after(3 + long_s + 20 * self._rng.random(), self._heal, cut)

    def _talk(self, some: frozenset[str], rest: frozenset[str]) -> bool:
        """Whether any of the first has a link to any of the others."""
        addresses = {self._world.hosts[name].address for name in rest}
        return any(not addresses.isdisjoint(self._world.hosts[name].core.links()) for name in some)

    def _heal(self, cut: Cut) -> None:
        """End a cut, unless everyone who could have met it was stalled so far."""
        if cut.stopped:
            self._world.network.heal(cut)
        else:
            self._world.scheduler.after(3, self._heal, cut)

    def _stall(self) -> None:
        host = self._someone()
        if host is not None:
            self._world.stall(host, 0.2 + self._options.stall_s * self._rng.random())
            self.planned.add("stall")

    def _restart(self) -> None:
        host = self._someone()
        if host is not None:
            self._world.kill(host)
            self.planned.update(("kill", "restart"))
            self._world.scheduler.after(10 * self._rng.random() ** 2, self._again, host.name)

    def _again(self, name: str) -> None:
        policy = dict(self._world.truth.policies[name][-1])
        if self._rng.random() < 0.3:
            vip = self._rng.choice(sorted(policy))
            policy[vip] = replace(policy[vip], reach=any_reach(self._world))
        self._world.restart(name, policy)

    def _die(self) -> None:
        host = self._someone()
        if host is not None and len(self._world.alive()) > 2:
            self._world.kill(host)
            self.planned.add("kill")

    def _unread(self) -> None:
        host = self._someone()
        if host is not None:
            self._world.fired("unread")
            host.reads = False
            self._world.scheduler.after(2 + 13 * self._rng.random(), self._read_again, host)

    def _read_again(self, host: Host) -> None:
        host.reads = True
        if host.up and not host.stalled:
            host.resume()

    def _leave(self) -> None:
        host = self._someone()
        if host is not None and len(self._world.alive()) > 2:
            self._world.fired("leave")
            host.core.leave(host.now())
            host.step()
            self._world.kill(host)
            if self._rng.random() < 0.7:
                self._world.scheduler.after(5 * self._rng.random(), self._again, host.name)

    def _clone(self) -> None:
        host = self._someone()
        if host is not None:
            clone = self._world.clone(host)
            self.planned.add("clone")
            self._world.scheduler.after(2 + 20 * self._rng.random(), self._end_clone, clone)

    def _end_clone(self, clone: Host) -> None:
        if clone.up:
            clone.events()
            clone.kill()

    def _lie(self) -> None:
        """One node says to some others what isn't so."""
        liar = self._someone()
        if liar is not None and len(self._world.alive()) > 2 and deceit.lie(self._world, liar):
            self.planned.add("lie")

    def _someone(self) -> Host | None:
        hosts = [host for host in self._world.alive() if not host.stalled]
        return self._rng.choice(hosts) if hosts else None
