"""The scenarios by name: each builds a world from a seed, lets things happen, and asks the checkers.

A scenario returns its figures and raises `ViolationError` for what must never be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation import builder
from tests.simulation.bounds import Bounds
from tests.simulation.convergence import Convergence
from tests.simulation.report import Report
from tests.simulation.safety import Safety, ViolationError
from tests.simulation.trouble import Trouble, TroubleOptions
from tests.simulation.truth import Made
from tests.simulation.workload import Workload, WorkOptions
from tests.simulation.world import World

SETTLE_S = 35.0
"""After the end of all trouble: what an origin that died told only one node is with everybody by then."""


class Run:
    """One world with all checkers on it."""

    def __init__(self, name: str, seed: int, *, skewed: bool = True) -> None:
        self.report = Report(name, seed)
        self.world = World(seed, skewed=skewed)
        self.safety = Safety(self.world)
        self.bounds = Bounds(self.world)
        self.convergence = Convergence(self.world)
        self.world.watchers.append(self.safety)

    def watch(self) -> None:
        """Look at everything once: bounds, and whatever a step may have been missed for."""
        self.bounds.check()
        for host in self.world.alive():
            host.events()
            self.safety.scan(host)

    def settle(self, within: float = SETTLE_S) -> float:
        """Wait until nobody lacks anything; says how long it took. Raises `ViolationError` after `within` seconds."""
        took = 0.0
        while took < within and not self.settled():
            self.world.run(0.5, self.watch)
            took += 0.5
        self.judge()
        return took

    def settled(self) -> bool:
        return not (self.convergence.missing() or self.convergence.forbidden() or self.convergence.withdrawn())

    def judge(self) -> None:
        """Raise `ViolationError` for what is not as it should be after trouble has ended."""
        for what, found in (
            ("lacks", self.convergence.missing()),
            ("still has, by policies that living nodes have had time to tell,", self.convergence.forbidden()),
            ("still has a withdrawn", self.convergence.withdrawn()),
        ):
            if found:
                raise ViolationError(f"{len(found)} times: {_told(what, *found[0])}")


@dataclass(frozen=True, slots=True)
class Scenario:
    """``play`` does it all; ``heavy`` ones are not part of a run over many seeds."""

    play: Callable[[Run], None]
    about: str
    heavy: bool = False
    skewed: bool = True


def run(name: str, seed: int) -> Report:
    """Play a scenario with a seed."""
    scenario = SCENARIOS[name]
    one = Run(name, seed, skewed=scenario.skewed)
    try:
        scenario.play(one)
    except ViolationError as violation:
        one.report.violations.append(str(violation))
    one.report.fired = dict(one.world.fired.counts)
    one.report.trace = one.world.network.trace.hexdigest()
    one.report.figures |= {"simulated_s": one.world.now, "messages": one.world.network.messages}
    return one.report


def _mixed(run: Run) -> None:
    """Anything may happen, in any small world, on any policies; afterwards all is as it should be."""
    builder.drawn(run.world)
    workload, trouble = Workload(run.world, run.safety, WorkOptions()), Trouble(run.world, TroubleOptions())
    run.world.run(3.0, run.watch)
    workload.start()
    trouble.plan()
    run.world.run(TroubleOptions().lasts_s, run.watch)
    workload.stop()
    run.world.run(5.0, run.watch)
    trouble.end()
    run.report.figures["settled_s"] = run.settle()
    run.report.figures["resumed"] = workload.resumed
    lacking = run.world.fired.lacks(trouble.planned)
    if lacking:
        raise ViolationError(f"faults that were planned never happened: {', '.join(lacking)}")


def _told(what: str, node: str, session: Made) -> str:
    made = f"{session.node}#{session.incarnation} VIP {session.vip} made at {session.made_at:.3f} s"
    return f"{node} {what} a session of {made}"


SCENARIOS = {
    "mixed": Scenario(_mixed, "random worlds, policies and faults"),
}
