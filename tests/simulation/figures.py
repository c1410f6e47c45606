"""The scenarios behind the figures we promise: budgets, how fast a death is seen, how a dying origin's sessions spread.

Each measures into the report and raises `ViolationError` past what is promised.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshcache.core.values.events import PeerLost, PeerSuspect
from tests.simulation import builder
from tests.simulation.budget import Budget
from tests.simulation.faults import NetworkOptions
from tests.simulation.host import Host
from tests.simulation.run import Run
from tests.simulation.safety import PUSH, ViolationError, kind
from tests.simulation.truth import Made

SUSPECT_S, LOST_S = 3.0, 8.0
"""Promised; a timer may be a check late, which is `_LATE_S`."""
_LATE_S = 0.25

SPREAD_S = 35.0
"""Within this time everybody has what a dying origin told only one."""

_CASES = 5
"""Origins that die in one run of `origin`."""

REPAIR_S = 5.0
"""Within this time what a relay took to its grave is where it should be, once its death is seen."""


def budget(run: Run) -> None:
    """Without faults every session costs n-1 pushes in each colo and one crossing to each other."""
    builder.plain(run.world, 3, 5)
    run.world.run(20, run.watch)
    counted = Budget(run.world)
    run.world.watchers.append(counted)
    for _ in range(150):
        run.world.make(run.world.rng.choice(run.world.alive()), "shop")
        run.world.run(0.02 * run.world.rng.random())
    run.world.run(30, run.watch)
    run.judge()
    counted.check()


def origin(run: Run) -> None:
    """Fifty nodes; origins die, one after the other, when exactly one peer has their session."""
    builder.plain(run.world, 1, 50)
    run.world.run(10, run.watch)
    for case in range(_CASES):
        took = _orphan(run)
        run.report.figures[f"spread_{case + 1}_s"] = round(took, 2)
        if took >= SPREAD_S:
            raise ViolationError(f"an orphan was not everywhere {SPREAD_S} s after its origin died")
        run.world.run(3, run.watch)


def deaths(run: Run) -> None:
    """A node dies; every other one suspects it and loses it in time."""
    builder.plain(run.world, 1, 12)
    run.world.run(10 + run.world.rng.random(), run.watch)
    victim = run.world.hosts["c00-05"]
    died_at = run.world.now
    run.world.kill(victim)
    run.world.run(LOST_S + 2, run.watch)
    for what, promised in ((PeerSuspect, SUSPECT_S), (PeerLost, LOST_S)):
        seen = [at - died_at for at in _times(run, what, victim.name)]
        run.report.figures[f"{what.__name__}_s"] = round(max(seen, default=0.0), 3)
        if len(seen) != len(run.world.alive()) or not 0 < max(seen) <= promised + _LATE_S:
            raise ViolationError(f"{what.__name__} came {len(seen)} times, at last after {max(seen, default=0):.2f} s")


def flaps(run: Run) -> None:
    """A minute of every second message lost: nobody is lost, and nobody suspected once the loss is known."""
    builder.plain(run.world, 1, 8)
    run.world.run(8, run.watch)
    run.world.network.options = NetworkOptions(drop=0.5)
    run.world.run(60, run.watch)
    suspicions = sum(len(list(_times(run, PeerSuspect, host.name))) for host in run.world.alive())
    losses = sum(len(list(_times(run, PeerLost, host.name))) for host in run.world.alive())
    run.report.figures |= {"suspicions": suspicions, "losses": losses}
    if suspicions or losses or not run.world.fired.counts["drop"]:
        raise ViolationError(
            f"with half of the messages lost, {suspicions} healthy peers were suspected, {losses} lost"
        )


def unread(run: Run) -> None:
    """One peer stops reading for 20 s under load: the others have every session at once, and it has all in the end."""
    builder.plain(run.world, 1, 6)
    run.world.run(10, run.watch)
    run.world.network.options = NetworkOptions(queue_messages=50)
    deaf = run.world.hosts["c00-03"]
    deaf.reads = False
    slowest = 0.0
    for _ in range(200):
        session = run.world.make(run.world.hosts["c00-01"], "shop")
        others = [host for host in run.world.alive() if host is not deaf and host.name != session.node]
        slowest = max(slowest, run.world.until(lambda made=session, some=others: _all(some, made), 5.0, every=0.001))  # type: ignore[misc]
        run.world.run(0.05, run.bounds.check)
    run.report.figures |= {"slowest_s": round(slowest, 3), "refused": run.world.fired.counts["queue full"]}
    if slowest > 0.1 or not run.world.fired.counts["queue full"]:
        raise ViolationError(f"beside a peer that doesn't read, a session took {slowest:.3f} s")
    deaf.reads = True
    deaf.resume()
    run.report.figures["settled_s"] = run.settle()


def storm(run: Run) -> None:
    """A node with 5,000 sessions, and 49 that join at once."""
    builder.plain(run.world, 1, 1)
    first = run.world.hosts["c00-00"]
    run.world.run(5)
    for _ in range(5000):
        run.world.make(first, "shop")
    policy = run.world.truth.policies[first.name][0]
    for number in range(1, 50):
        run.world.start(f"c00-{number:02}", "c00", policy, (first.address,))
    run.report.figures["settled_s"] = run.settle(60)


def relays(run: Run) -> None:
    """The relay of another colo dies with what it was given, and then the next: nothing is missing for long."""
    builder.plain(run.world, 2, 5)
    run.world.run(12, run.watch)
    sender, slowest = run.world.hosts["c00-02"], 0.0
    for _ in range(3):
        relay = _relay(run, sender)
        run.world.network.lose(lambda who, _to, payload, dying=relay: who == dying and kind(payload) == PUSH)  # type: ignore[misc]
        session = run.world.make(sender, "shop")
        run.world.run(0.1, run.watch)
        run.world.kill(run.world.hosts[relay])
        run.world.network.lose(None)
        slowest = max(slowest, run.world.until(lambda made=session: _all(run.world.alive(), made), SPREAD_S))  # type: ignore[misc]
        run.world.run(12, run.watch)
        run.world.restart(relay)
        run.world.run(5, run.watch)
    run.report.figures |= {"slowest_s": round(slowest, 2), "settled_s": run.settle()}
    if slowest > LOST_S + REPAIR_S:
        raise ViolationError(f"what a dying relay was given took {slowest:.1f} s to arrive")


def _orphan(run: Run) -> float:
    """Let an origin die when one peer has its session; says how long it takes until all have it."""
    world = run.world
    dying, lucky = world.rng.sample([host.name for host in world.alive()], 2)
    world.network.lose(lambda who, to, payload: who == dying and to != lucky and kind(payload) == PUSH)
    session = world.make(world.hosts[dying], "shop")
    world.scheduler.run(world.now + 0.005)
    world.network.lose(None)
    world.kill(world.hosts[dying])
    if [host.name for host in world.alive() if host.core.holds("shop", session.id)] != [lucky]:
        raise ViolationError("the dying origin should have reached exactly one peer")
    return world.until(lambda: _all(world.alive(), session), SPREAD_S, every=0.1)


def _relay(run: Run, sender: Host) -> str:
    """Who spreads a session of this node in the other colo; found by watching one."""
    seen: list[str] = []

    def watch(who: str, to: str, payload: bytes) -> bool:
        if who == sender.name and to[:3] != who[:3] and kind(payload) == PUSH:
            seen.append(to)
        return False

    run.world.network.lose(watch)
    run.world.make(sender, "shop")
    run.world.run(1, run.watch)
    if len(seen) != 1:
        raise ViolationError(f"one relay should have been given a session, and {len(seen)} were")
    return seen[0]


def _times(run: Run, what: type[PeerSuspect | PeerLost], node: str) -> Iterator[float]:
    """When, in true time, living nodes reported this of a node."""
    for host in run.world.alive():
        for event in host.events():
            if isinstance(event, what) and event.node == node:
                yield host.clock.true(event.at)


def _all(hosts: list[Host], session: Made) -> bool:
    return all(host.core.holds(session.vip, session.id) for host in hosts)
