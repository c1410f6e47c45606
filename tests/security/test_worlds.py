"""A session resumes if and only if the documentation says so: random meshes, real handshakes, an oracle of its own.

``make security`` runs 500 worlds, ``make test`` a slice of them. A failure prints the world; hypothesis makes it small.
"""

from __future__ import annotations

import ast
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.security import oracle
from tests.security.borders import BORDERS, Border
from tests.security.oracle import Coming, Node, Vip, name_class, resumes, shakes_hands, why_not
from tests.security.worlds import World, client_for
from tests.support.hot_paths import python_path  # noqa: F401 - the worlds' weakened builds are of Python's decisions
from tests.tls.world import KINDS

WORLDS = int(os.environ.get("MESHCACHE_WORLDS", "60"))

COLOS = ("ams1", "ams1", "fra1")
NAMES = ("a.test", "a.test", "A.Test", "b.test", "c.test", None)
CERTIFICATES = st.tuples(
    st.sampled_from([("a.test", "b.test"), ("a.test", "b.test"), ("*.test",), ("a.test",)]), st.integers(0, 1)
)

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "group": st.sampled_from(["front", "front", None]),
    "reach": st.sampled_from(["everywhere", "everywhere", "colo", "server", ("ams1",), ("fra1",), ("ams1", "fra1")]),
    "certificate": CERTIFICATES,
    "asks": st.sampled_from([None, None, "optional", "required"]),
    "trusts": st.sampled_from(["main", "main", "second"]),
    "floor": st.sampled_from(["1.2", "1.2", "1.3"]),
    "bind": st.sampled_from(["name", "name", "certificate"]),
    "revalidate": st.booleans(),
    "listed": st.sampled_from([(), ("a.test",), ("a.test", "b.test")]),
}

COMING = st.builds(
    Coming,
    name=st.sampled_from(NAMES),
    certificate=st.sampled_from([None, "main", "main", "second"]),
    version=st.sampled_from(["1.2", "1.3"]),
)


@st.composite
def node_lists(draw: st.DrawFn) -> list[Node]:
    """Two or three nodes with one or two VIPs, whose settings are mostly the same: a difference should matter."""
    common = {name: draw(st.fixed_dictionaries(FIELDS)) for name in draw(st.sampled_from([("shop",), ("pay", "shop")]))}
    nodes = []
    for number in range(draw(st.integers(2, 3))):
        vips = []
        for name, values in common.items():
            different = draw(st.sampled_from([None, None, *FIELDS]))
            own = values if different is None else {**values, different: draw(FIELDS[different])}
            vip = _covered(Vip(name, kind=draw(st.sampled_from(KINDS)), **own))
            vips.append(_bound_like(vip, vips))
        nodes.append(Node(f"edge-{number}", draw(st.sampled_from(COLOS)), tuple(vips)))
    return nodes


def _covered(vip: Vip) -> Vip:
    """Without listed names that the certificate doesn't cover, which `attach` refuses."""
    bare = replace(vip, listed=())
    return replace(vip, listed=tuple(name for name in vip.listed if name_class(bare, name) is not None))


def _bound_like(vip: Vip, others: list[Vip]) -> Vip:
    """One node's configuration refuses a group whose VIPs are bound to different things."""
    return next((replace(vip, bind=other.bind) for other in others if other.in_group == vip.in_group), vip)


seen: Counter[tuple[str, bool]] = Counter()
"""How many offers there were, by the oracle's reason why not, and whether they were made on another node."""

RESUMED = ""


@pytest.mark.timeout(900)
@settings(
    max_examples=WORLDS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(nodes=node_lists(), data=st.data())
def _resumes_if_and_only_if_the_oracle_says_so(nodes: list[Node], data: st.DataObject) -> None:
    world = World(nodes)
    try:
        for _ in range(data.draw(st.integers(1, 3), label="clients")):
            _one_client(world, data)
        assert not [reason for member in world.members for reason in member.turned_away()], "not even sent"
    finally:
        world.close()


def test_a_session_resumes_if_and_only_if_the_oracle_says_so() -> None:
    seen.clear()
    _resumes_if_and_only_if_the_oracle_says_so()
    chance = {reason for reason, away in seen if away}
    for border in BORDERS.values():
        if not seen[border.why, True]:
            _one_border(border)
    missing = {RESUMED, *oracle.REASONS} - {reason for reason, away in seen if away}
    assert not missing, "no world had a session stopped there"
    assert seen[RESUMED, False], "none came back to where it was made"
    print(f"{WORLDS} worlds:", dict(seen), "by chance", sorted(chance))


def _one_border(border: Border) -> None:
    world = World(border.nodes)
    try:
        (home, origin), (away, target) = world.servers()
        client = client_for(border.made)
        first = world.come(home, origin, border.made, client)
        assert first is not None
        world.settle()
        back = world.come(away, target, border.offered, client, first.session)
        assert back is None or not back.resumed
        seen[why_not((home.node, origin), border.made, (away.node, target), border.offered) or RESUMED, True] += 1
    finally:
        world.close()


def _one_client(world: World, data: st.DataObject) -> None:
    servers = world.servers()
    if not servers:
        return
    home, origin = data.draw(st.sampled_from(servers), label="made at")
    made = data.draw(COMING, label="made as")
    client = client_for(made)
    first = world.come(home, origin, made, client)
    assert (first is not None) == shakes_hands(origin, made)
    if first is None:
        return
    assert not first.resumed
    session = first.session
    world.settle()
    for away, target in data.draw(st.permutations(servers), label="offered at")[:4]:
        offered = replace(made, name=data.draw(st.sampled_from((made.name, made.name, *NAMES)), label="offered as"))
        why = why_not((home.node, origin), made, (away.node, target), offered)
        expected = why is None
        back = world.come(away, target, offered, client, session)
        assert (back is not None and back.resumed) == expected, (origin, made, target, offered)
        assert (back is not None) == (expected or shakes_hands(target, offered))
        seen[why or RESUMED, away is not home] += 1
        if back is not None and back.resumed and offered.version == "1.3":
            session = back.session  # its renewal goes on, within the same borders
            home, origin, made = away, target, offered
            world.settle()


@settings(max_examples=max(WORLDS // 4, 1), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    nodes=node_lists(),
    reaches=st.lists(FIELDS["reach"], min_size=6, max_size=6),
    coming=COMING,
    data=st.data(),
)
def test_a_policy_that_changed_holds_for_sessions_that_are_there(
    nodes: list[Node], reaches: list[Any], coming: Coming, data: st.DataObject
) -> None:
    """After a change nothing resumes that today's policy forbids; what both allow goes on resuming."""
    world = World(nodes)
    try:
        servers = world.servers()
        if not servers:
            return
        home, origin = data.draw(st.sampled_from(servers))
        client = client_for(coming)
        first = world.come(home, origin, coming, client)
        if first is None:
            return
        world.settle()
        before = {
            (away.node.name, target.name): resumes((home.node, origin), coming, (away.node, target), coming)
            for away, target in servers
        }
        values = iter(reaches)
        for member in world.members:
            vips = tuple(replace(vip, reach=next(values)) for vip in member.node.vips)
            member.change(replace(member.node, vips=vips))
        world.settle()
        origin = next(vip for vip in home.node.vips if vip.name == origin.name)
        for away, target in world.servers():
            today = resumes((home.node, origin), coming, (away.node, target), coming)
            back = world.come(away, target, coming, client, first.session)
            resumed = back is not None and back.resumed
            assert today or not resumed
            if today and before[away.node.name, target.name] and coming.version == "1.2":
                assert resumed
    finally:
        world.close()


def test_the_oracle_knows_nothing_of_the_code_it_judges() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    assert modules == {"__future__", "dataclasses"}
