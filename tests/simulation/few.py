"""Large colos of which three nodes each are to hold a session: what a node holds, two deaths at once, a split.

Sessions are fewer than in life, so that a run ends: shares don't depend on how many there are.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.simulation import builder
from tests.simulation.big import halves
from tests.simulation.faults import Cut
from tests.simulation.run import Run
from tests.simulation.safety import ViolationError

NODES, COPIES = 50, 3

SHARE_MAX = 1.1 * COPIES / NODES
"""Of what it would hold with ``copies = "all"``: what a node holds on average."""

SPLIT_S, HEALED_S = 30.0, 30.0
"""So long after a split of as long copies are whole again."""

_WARM_S = 15.0
_OLD_S = 1.0
"""What is as old as that is lost by no two deaths."""

_GROUP = 4
"""Colos that share with one another."""


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
    with seldom_collected():
        builder.plain(world, colos, NODES, shared=min(colos, _GROUP), copies=COPIES)
        world.run(_WARM_S)
        _make(run, sessions, 10.0, lambda: _outlive(run, COPIES - 1))
        world.run(2)
        _outlive(run, COPIES - 1)
        _weigh(run)
        _deaths(run)
        _split(run, sessions // 4)


def _make(run: Run, sessions: int, seconds: float, each: Callable[[], None] = lambda: None) -> None:
    """Make sessions on nodes at random; look once for each second."""
    for number in range(sessions):
        run.world.make(run.world.rng.choice(run.world.alive()), "shop")
        run.world.run(seconds / sessions)
        if number % max(int(sessions / seconds), 1) == 0:
            each()


def _weigh(run: Run) -> None:
    """What each node holds, as a part of all that its policy lets it have. What relays keep for half a minute counts
    apart: of an hour's sessions it is nothing, and of those of the last seconds much.
    """
    world = run.world
    made = Counter(session.node[:3] for session in world.truth.sessions.values())
    may_have = {colo: sum(made[other] for other in _sharing(run, colo)) for colo in world.colos}
    shares = [
        (len(host.core.session_ids("shop")) - len(host.core.duties.relay_retention)) / may_have[host.colo]
        for host in world.alive()
    ]
    mean = sum(shares) / len(shares)
    run.report.figures |= {"share": round(mean, 4), "share_max": round(max(shares), 4)}
    run.report.figures["kept_by_relays"] = sum(len(host.core.duties.relay_retention) for host in world.alive())
    if mean > SHARE_MAX:
        raise ViolationError(f"a node holds {mean:.3f} of what it would with all copies, over {SHARE_MAX:.3f}")


def _outlive(run: Run, deaths: int) -> None:
    """Raise `ViolationError` for a session that is old enough and would be lost in a colo with so many of its nodes,
    whichever they were.
    """
    held = _held(run)
    for session in run.world.truth.sessions.values():
        if session.made_at < run.world.now - _OLD_S:
            for colo in _sharing(run, session.node[:3]):
                if held[colo, session.id] <= deaths:
                    raise ViolationError(
                        f"at {run.world.now:.2f} s: a session that {session.node} made at {session.made_at:.2f} s has "
                        f"{held[colo, session.id]} copies in {colo}: {deaths} deaths would end it there"
                    )


def _deaths(run: Run) -> None:
    """Two nodes of each colo die at once: nothing of a second's age is lost in the colo, and copies grow back."""
    world = run.world
    for colo in world.colos:
        for host in world.rng.sample([host for host in world.alive() if host.colo == colo], COPIES - 1):
            world.kill(host)
    _outlive(run, 0)
    run.report.figures["deaths_healed_s"] = run.settle(HEALED_S + 10)
    _outlive(run, COPIES - 1)


def _split(run: Run, sessions: int) -> None:
    """Every colo is cut through. Each half makes copies of its own; after it they are where all look for them."""
    world = run.world
    cut = Cut(*halves(run))
    world.network.cut(cut)
    _make(run, sessions, SPLIT_S)
    world.network.heal(cut)
    run.report.figures["lacking"] = len(run.convergence.missing())
    met_s = world.until(lambda: _met(run), HEALED_S, every=0.5)
    run.report.figures |= {"met_s": met_s, "misplaced": misplaced(run)}
    placed_s = met_s + world.until(lambda: not misplaced(run), HEALED_S - met_s, every=0.5)
    run.report.figures["placed_s"] = placed_s
    if not _met(run) or misplaced(run):
        raise ViolationError(f"{misplaced(run)} copies weren't in their place {HEALED_S} s after a split")
    run.report.figures["healed_s"] = placed_s + run.settle(HEALED_S - placed_s)
    _outlive(run, COPIES - 1)


def _met(run: Run) -> bool:
    """Whether all nodes of each colo hear each other again: before that each half looks for copies in itself only."""
    alive = Counter(host.colo for host in run.world.alive())
    return all(len(host.core.duties.members.usable(host.colo)) == alive[host.colo] - 1 for host in run.world.alive())


def misplaced(run: Run) -> int:
    """Copies that aren't where nodes of their colo would look for them: by the word of one that has the session, whom
    the others ask first.
    """
    lacking = 0
    hosts = {host.name: host for host in run.world.alive()}
    held = {name: set(host.core.session_ids("shop")) for name, host in hosts.items()}
    looked: set[tuple[str, bytes]] = set()
    for host in hosts.values():
        for session_id in held[host.name]:
            if (host.colo, session_id) not in looked:
                looked.add((host.colo, session_id))
                found = host.core.session_origin("shop", session_id)
                names = host.core.duties.placement.holders(found[1], session_id) if found is not None else ()
                lacking += sum(session_id not in held.get(name, ()) for name in names)
    return lacking


def _sharing(run: Run, colo: str) -> list[str]:
    """The colos that have what is made in one."""
    at = run.world.colos.index(colo) // _GROUP * _GROUP
    return list(run.world.colos[at : at + _GROUP])


def _held(run: Run) -> Counter[tuple[str, bytes]]:
    """How many copies each colo has of each session."""
    return Counter((host.colo, each) for host in run.world.alive() for each in host.core.session_ids("shop"))


@contextmanager
def seldom_collected() -> Iterator[None]:
    """A thousand nodes are millions of objects, nearly all of which live to the end: looking for cycles among them at
    Python's own pace takes more time than all that they do.
    """
    before = gc.get_threshold()
    gc.set_threshold(500_000, 20, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
