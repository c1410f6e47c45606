"""The scenarios by name: each builds a world from a seed, lets things happen, and asks the checkers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation import big, few, figures, mixed, rings
from tests.simulation.report import Report
from tests.simulation.run import Run
from tests.simulation.safety import ViolationError


@dataclass(frozen=True, slots=True)
class Scenario:
    """``play`` does it all and raises `ViolationError`; a run without names plays those that are not ``heavy``."""

    play: Callable[[Run], None]
    about: str
    heavy: bool = False
    skewed: bool = True
    faults: frozenset[str] = frozenset()
    """Each of these must have happened in some of a few hundred seeds."""


SCENARIOS = {
    "mixed": Scenario(mixed.play, "random worlds, policies and faults", faults=mixed.FAULTS),
    "fetches": Scenario(
        mixed.play_with_fetches, "the same, with sessions fetched for handshakes", faults=frozenset({"pulled"})
    ),
    "copies": Scenario(mixed.play_with_copies, "the same, with one or two copies in each colo, and fetches"),
    "single_use": Scenario(
        mixed.play_with_single_use,
        "the same, with sessions that are good for one handshake, and a look at clocks",
        faults=frozenset({"used up", "clocks compared"}),
    ),
    "budget": Scenario(figures.budget, "no faults: every message is counted", skewed=False),
    "origin": Scenario(figures.origin, "origins die when one peer of fifty has their session", heavy=True),
    "deaths": Scenario(figures.deaths, "how soon a dead peer is suspected and lost", skewed=False),
    "flaps": Scenario(figures.flaps, "half of all messages are lost, and nobody is suspected"),
    "unread": Scenario(figures.unread, "a peer that never reads costs the others nothing"),
    "storm": Scenario(figures.storm, "fifty join at once", heavy=True),
    "relays": Scenario(figures.relays, "relays die one after the other"),
    "rings": Scenario(rings.play, "ticket keys through splits, stalls, deaths, policies and withdraws"),
    "fifty": Scenario(few.fifty, "a colo of fifty nodes with three copies: memory, deaths, a split", heavy=True),
    "hundred": Scenario(few.hundred, "the same of a hundred nodes in two colos", heavy=True),
    "thousand": Scenario(few.thousand, "the same of a thousand nodes in twenty colos", heavy=True),
    "split": Scenario(big.split, "a thousand nodes in twenty colos, split for 30 s", heavy=True),
}


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
