"""Anything may happen, in any small world, on any policies; afterwards all is as it should be."""

from __future__ import annotations

from tests.simulation import builder
from tests.simulation.run import Run
from tests.simulation.safety import ViolationError
from tests.simulation.trouble import Trouble, TroubleOptions
from tests.simulation.workload import Workload, WorkOptions

_WARM_S = 3.0
_LATE_S = 25.0
"""What a message may wait: for a cut to heal, and then for a node that stalls or doesn't read."""

_LAST_S = 5.0
"""Trouble goes on for so long after the last session, so that there is something left to repair."""


def play(run: Run) -> None:
    """Draw a world, make trouble in it, end the trouble, and ask all checkers."""
    builder.drawn(run.world)
    run.safety.late_s = run.convergence.early_s = _LATE_S
    workload, trouble = Workload(run.world, run.safety, WorkOptions()), Trouble(run.world, TroubleOptions())
    run.world.run(_WARM_S, run.watch)
    workload.start()
    trouble.plan()
    run.world.run(TroubleOptions().lasts_s, run.watch)
    workload.stop()
    run.world.run(_LAST_S, run.watch)
    trouble.end()
    run.report.figures["settled_s"] = run.settle()
    run.report.figures |= {"sessions": len(run.world.truth.sessions), "resumed": workload.resumed}
    lacking = run.world.fired.lacks(trouble.planned)
    if lacking:
        raise ViolationError(f"faults that were planned never happened: {', '.join(lacking)}")
