"""Large colos of which three nodes each are to hold a session: what a node holds, two deaths at once, a split.

Sessions are fewer than in life, so that a run ends: shares don't depend on how many there are.
"""

from __future__ import annotations

from collections import Counter

from tests.simulation import builder
from tests.simulation.big import halves
from tests.simulation.faults import Cut
from tests.simulation.run import Run
from tests.simulation.safety import ViolationError
from tests.simulation.truth import Made

NODES, COPIES = 50, 3

SHARE_MAX = 1.1 * COPIES / NODES
"""Of what it would hold with ``copies = "all"``: what a node holds on average."""

SPLIT_S, HEALED_S = 30.0, 30.0
"""So long after a split of as long copies are whole again."""

_WARM_S = 15.0
_OLD_S = 1.0
"""What is as old as that is lost by no two deaths."""


def fifty(run: Run) -> None:
    """One colo."""
    _play(run, 1, 1000)


def hundred(run: Run) -> None:
    """Two colos."""
    _play(run, 2, 2000)


def thousand(run: Run) -> None:
    """Twenty colos, which share in groups of four."""
    _play(run, 20, 4000)


def _play(run: Run, colos: int, sessions: int) -> None:
    world = run.world
    builder.plain(world, colos, NODES, shared=min(colos, 4), copies=COPIES)
    world.run(_WARM_S)
    _make(run, sessions, 10.0)
    world.run(2)
    _weigh(run, colos)
    _deaths(run)
    _split(run, sessions // 4)


def _make(run: Run, sessions: int, seconds: float) -> list[Made]:
    made = []
    for _ in range(sessions):
        made.append(run.world.make(run.world.rng.choice(run.world.alive()), "shop"))
        run.world.run(seconds / sessions)
    return made


def _weigh(run: Run, colos: int) -> None:
    """What each node holds, as a part of all that its policy lets it have. What relays keep for half a minute counts
    apart: of an hour's sessions it is nothing, and of those of the last seconds much.
    """
    world = run.world
    visible = Counter(session.node[:3] for session in world.truth.sessions.values())
    groups = {colo: at // 4 if colos > 4 else 0 for at, colo in enumerate(world.colos)}
    may_have = {colo: sum(visible[other] for other in groups if groups[other] == groups[colo]) for colo in groups}
    shares = [
        (len(host.core.session_ids("shop")) - len(host.core.duties.passed_on)) / may_have[host.colo]
        for host in world.alive()
    ]
    mean = sum(shares) / len(shares)
    run.report.figures |= {"share": round(mean, 4), "share_max": round(max(shares), 4)}
    run.report.figures["kept_by_relays"] = sum(len(host.core.duties.passed_on) for host in world.alive())
    if mean > SHARE_MAX:
        raise ViolationError(f"a node holds {mean:.3f} of what it would with all copies, over {SHARE_MAX:.3f}")


def _deaths(run: Run) -> None:
    """Two nodes of each colo die at once: nothing of a second's age is lost in the colo, and copies grow back."""
    world = run.world
    old = [each for each in world.truth.sessions.values() if each.made_at < world.now - _OLD_S]
    before = _held(run)
    for colo in world.colos:
        for host in world.rng.sample([host for host in world.alive() if host.colo == colo], 2):
            world.kill(host)
    after = _held(run)
    lost = [each for each in old for colo in world.colos if (colo, each.id) in before and (colo, each.id) not in after]
    run.report.figures["lost"] = len(lost)
    if lost:
        raise ViolationError(f"{len(lost)} sessions were lost with two nodes of a colo")
    run.report.figures["deaths_healed_s"] = run.settle(HEALED_S + 10)


def _split(run: Run, sessions: int) -> None:
    world = run.world
    cut = Cut(*halves(run))
    world.network.cut(cut)
    _make(run, sessions, SPLIT_S)
    world.network.heal(cut)
    run.report.figures["lacking"] = len(run.convergence.missing())
    run.report.figures["healed_s"] = run.settle(HEALED_S)


def _held(run: Run) -> set[tuple[str, bytes]]:
    return {(host.colo, each) for host in run.world.alive() for each in host.core.session_ids("shop")}
