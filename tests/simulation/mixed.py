"""Anything may happen, in any small world, on any policies; afterwards all is as it should be."""

from __future__ import annotations

from meshcache.core.values.events import NameContested, PeerForgotten
from tests.simulation import builder, deceit
from tests.simulation.run import SETTLE_S, Run
from tests.simulation.safety import ViolationError
from tests.simulation.single_use import SingleUse
from tests.simulation.trouble import Trouble, TroubleOptions
from tests.simulation.workload import Workload, WorkOptions

FAULTS = frozenset(deceit.LIES) | {
    *("clock step", "clone", "cut", "drop", "duplicate", "evict", "forgotten", "held", "kill", "leave", "lie"),
    *(
        "name contested",
        "one-way cut",
        "one-way link",
        "policy change",
        "reorder",
        "restart",
        "sent to the dead",
        "skew",
    ),
    *("stall", "unread", "unusable", "way back", "withdraw"),
}
"""Everything that happens in some worlds."""

_WARM_S = 3.0
_LATE_S = 25.0
"""What a message may wait: for a cut to heal, and then for a node that stalls or doesn't read."""

_PINGED_S = 12.0
"""By then every node has measured the way to each peer anew."""

_LAST_S = 5.0
"""Trouble goes on for so long after the last session, so that there is something left to repair."""


_TRIED_S = 40.0
"""Between two tries of the address of a peer that was forgotten."""


def play_with_fetches(run: Run) -> None:
    """Do the same, with handshakes that have sessions fetched from whoever may give them."""
    play(run, WorkOptions(pulls=15.0))


def play_with_copies(run: Run) -> None:
    """Do the same where only some nodes of each colo are to hold a session, and others fetch it; operators change how
    many.
    """
    play(run, WorkOptions(pulls=15.0, copies=0.1), copies=True)


def play_with_single_use(run: Run) -> None:
    """Do the same, where clients use up sessions of few copies; at the end, also compare clocks."""
    single_use = SingleUse(run.world)
    run.world.watchers.append(single_use)
    play(run, WorkOptions(pulls=15.0, uses=5.0), copies=True, single_use=single_use)
    run.world.run(_PINGED_S, run.watch)
    single_use.judge()
    single_use.judge_clocks()
    run.report.figures["told"] = single_use.told


def play(
    run: Run, work: WorkOptions | None = None, *, copies: bool = False, single_use: SingleUse | None = None
) -> None:
    """Draw a world, make trouble in it, end the trouble, and ask all checkers."""
    builder.drawn(run.world, copies=copies)
    run.safety.late_s = run.convergence.early_s = _LATE_S
    workload = Workload(run.world, run.safety, work or WorkOptions(), single_use)
    trouble = Trouble(run.world, TroubleOptions())
    run.world.run(_WARM_S, run.watch)
    workload.start()
    trouble.plan()
    run.world.run(TroubleOptions().lasts_s, run.watch)
    workload.stop()
    run.world.run(_LAST_S, run.watch)
    trouble.end()
    run.report.figures["settled_s"] = run.settle(SETTLE_S if run.world.limits.forget_s > 60 else SETTLE_S + _TRIED_S)
    run.report.figures |= {"sessions": len(run.world.truth.sessions), "resumed": workload.resumed}
    run.report.figures["pulled"] = workload.pulled
    _count_events(run)
    lacking = run.world.fired.lacks(trouble.planned | run.world.planned)
    if lacking:
        raise ViolationError(f"faults that were planned never happened: {', '.join(lacking)}")


def _count_events(run: Run) -> None:
    """Count what faults led to: the nodes say so."""
    for host in (*run.world.hosts.values(), *run.world.clones):
        for event in host.history:
            if isinstance(event, PeerForgotten | NameContested):
                run.world.fired("forgotten" if isinstance(event, PeerForgotten) else "name contested")
