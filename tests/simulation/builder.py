"""Draws worlds: colos, nodes and VIPs with policies that agree, differ and exclude one another; or plain ones."""

from __future__ import annotations

from dataclasses import replace

from tests.simulation.truth import Policy, VipTruth
from tests.simulation.workload import any_reach
from tests.simulation.world import World

SETTINGS = b"\x01" * 32

FORGET_S = 15.0
"""After which nodes of some worlds forget a peer, instead of ten minutes: so that cuts of half a minute are longer."""

COLOS = ("ams1", "fra1", "sjc1", "nrt1")


def plain(
    world: World,
    colos: int,
    nodes: int,
    reach: str | frozenset[str] = "everywhere",
    sessions_max: int = 100_000,
    shared: int = 0,
    copies: int = 0,
) -> None:
    """So many colos of so many nodes, all with one VIP on one policy; each node knows the first of its colo and one
    other colo's.

    With ``shared``, colos are in groups of so many that list one another.
    """
    names = world.colos = tuple(f"c{at:02}" for at in range(colos))
    for at, colo in enumerate(names):
        first = at // shared * shared if shared else 0
        listed = frozenset(names[first : first + shared]) if shared else reach
        policy = {"shop": VipTruth("shop", SETTINGS, listed, sessions_max=sessions_max, copies=copies)}
        seeds = (f"{colo}-00:7946", f"{names[at - 1]}-00:7946")
        for number in range(nodes):
            world.start(f"{colo}-{number:02}", colo, policy, seeds)


_SEEDS = 3
"""In each colo; some may not exist, as in an operator's list. One more than trouble takes away for good: a node that
said goodbye and comes back when all of its seeds are dead can't be found by anybody."""


def drawn(world: World, *, copies: bool = False) -> None:
    """A small world drawn from its seed: up to four colos, a dozen nodes, three VIPs in two groups. With `copies` some
    nodes only are to hold what is made for a VIP, one or two in each colo.
    """
    rng = world.rng
    colos = world.colos = COLOS[: rng.randrange(1, len(COLOS) + 1)]
    vips = _vips(world)
    if copies:
        vips = {name: replace(vip, copies=rng.randrange(1, 3), push=rng.random() < 0.8) for name, vip in vips.items()}
    seeds = tuple(f"{colo}-{number}:7946" for number in range(_SEEDS) for colo in colos)
    if rng.random() < 0.3:
        world.limits = replace(world.limits, forget_s=FORGET_S)
    if rng.random() < 0.3:
        world.introduced_by = "mdns"
    fewest = 1 if len(colos) > 2 else 4 // len(colos)
    names = {colo: [f"{colo}-{number}" for number in range(rng.randrange(fewest, 5))] for colo in colos}
    if rng.random() < 0.3:
        _one_ways(world, names)
    for colo in colos:
        for name in names[colo]:
            world.start(name, colo, _policy(world, vips), seeds)


def _one_ways(world: World, names: dict[str, list[str]]) -> None:
    """Up to three pairs, in which one can't open a connection to the other; in a colo everybody wants a link."""
    pairs = [(some, other) for colo in names.values() for some in colo for other in colo if some < other]
    for pair in world.rng.sample(pairs, min(len(pairs), world.rng.randrange(1, 4))):
        world.network.one_way.add(pair if world.rng.random() < 0.5 else pair[::-1])
        world.planned.add("way back")


def _vips(world: World) -> dict[str, VipTruth]:
    rng = world.rng
    quota = rng.choice((20, 100_000, 100_000, 100_000))
    exports = rng.random() < 0.5
    groups = ("one", "two")
    return {
        name: VipTruth(rng.choice(groups), SETTINGS, any_reach(world), exports, sessions_max=quota)
        for name in ("api", "blog", "shop")[: rng.randrange(1, 4)]
    }


def _policy(world: World, vips: dict[str, VipTruth]) -> Policy:
    """What one node serves: mostly what the others do."""
    rng = world.rng
    policy = {name: vip for name, vip in vips.items() if rng.random() < 0.85}
    for name, vip in policy.items():
        if rng.random() < 0.2:
            policy[name] = replace(vip, reach=any_reach(world))
        if rng.random() < 0.05:
            policy[name] = replace(vip, settings=b"\x02" * 32)
    return policy or dict(vips)
