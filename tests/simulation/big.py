"""The largest world that we promise anything of: 20 colos of 50 nodes that share in groups of four, and a split."""

from __future__ import annotations

from tests.simulation import builder
from tests.simulation.budget import Budget
from tests.simulation.faults import Cut
from tests.simulation.run import Run
from tests.simulation.safety import ViolationError

COLOS, NODES, SHARED = 20, 50, 4

SPLIT_S = 30.0
HEALED_S = 15.0
"""Within this time after healing everybody has everything that was made meanwhile."""

IDLE_BYTES_MAX = 3000
"""Sent by a node in a second when nothing happens, on average."""

_WARM_S = 30.0
_IDLE_S = 15.0
_SESSIONS = 600
"""Made during the split, all over the mesh."""


def split(run: Run) -> None:
    """Idle, split, load, heal: measures idle traffic and how long healing takes."""
    world = run.world
    builder.plain(world, COLOS, NODES, shared=SHARED)
    world.run(_WARM_S)
    _idle(run)
    cut = Cut(*halves(run))
    world.network.cut(cut)
    for _ in range(_SESSIONS):
        world.make(world.rng.choice(world.alive()), "shop")
        world.run(SPLIT_S / _SESSIONS)
    run.watch()
    if not world.fired.counts["cut"]:
        raise ViolationError("the split never stopped a message")
    world.network.heal(cut)
    run.report.figures["lacking"] = len(run.convergence.missing())
    run.report.figures["healed_s"] = run.settle(HEALED_S)


def _idle(run: Run) -> None:
    counted = Budget(run.world)
    run.world.watchers.append(counted)
    run.world.run(_IDLE_S)
    run.world.watchers.remove(counted)
    nodes = len(run.world.alive())
    mean = sum(counted.bytes.values()) / nodes / _IDLE_S
    most = max(counted.bytes.values()) / _IDLE_S
    run.report.figures |= {"idle_bytes_s": round(mean), "idle_bytes_s_max": round(most)}
    if mean >= IDLE_BYTES_MAX:
        raise ViolationError(f"an idle node sends {mean:.0f} bytes/s")


def halves(run: Run) -> tuple[frozenset[str], frozenset[str]]:
    """Every colo is cut through, and so is every group of colos."""
    names = sorted(run.world.hosts)
    some = frozenset(run.world.rng.sample(names, len(names) // 2))
    return some, frozenset(names) - some
