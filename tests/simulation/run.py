"""One run: a world with all checkers on it, and the waiting until nobody lacks anything.

Knows no scenario; those say what happens in the world.
"""

from __future__ import annotations

from tests.simulation.bounds import Bounds
from tests.simulation.convergence import Convergence
from tests.simulation.report import Report
from tests.simulation.safety import Safety, ViolationError
from tests.simulation.truth import Made
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
        self._watched = 0

    def watch(self) -> None:
        """Look at the bounds of all nodes, and at all that one of them holds, whatever messages said of it."""
        self.bounds.check()
        alive = self.world.alive()
        for host in alive:
            host.events()
        self._watched += 1
        if alive:  # a small world may be all dead for a moment
            self.safety.scan(alive[self._watched % len(alive)])

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
        for host in self.world.alive():
            self.safety.scan(host)
        for what, found in (
            ("lacks", self.convergence.missing()),
            ("still has, by policies that living nodes have had time to tell,", self.convergence.forbidden()),
            ("still has a withdrawn", self.convergence.withdrawn()),
        ):
            if found:
                raise ViolationError(f"{len(found)} times: {_told(what, *found[0])}")


def _told(what: str, node: str, session: Made) -> str:
    made = f"{session.node}#{session.incarnation} VIP {session.vip} made at {session.made_at:.3f} s"
    return f"{node} {what} a session of {made}"
