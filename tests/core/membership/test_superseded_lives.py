"""Who is said to be a later life than it is learns of it, also from nodes that it isn't linked to, and outbids it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcache.core.membership.superseded_lives import SupersededLives
from meshcache.core.policy.gates import REACH_EVERYWHERE, REACH_SERVER
from meshcache.core.state.members import Members
from meshcache.core.state.roster import RosterTable
from meshcache.core.values.events import EventLog
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import Hello
from tests.core.net import Host, Net, has, make, vip

AGE = (5, 2)


def two_colos() -> tuple[Net, Host, Host]:
    """Two nodes of different colos that aren't linked to each other."""
    net = Net()
    for name, colo in [*((name, "ams1") for name in "abcd"), *((name, "fra1") for name in "wxyz")]:
        net.add(name, colo, vip(name, colo, reach=REACH_EVERYWHERE), seeds=("a:7946", "x:7946"))
    net.run(60)
    linked = {name: {peer["name"] for peer in net.hosts[name].core.peers(net.now)} for name in "abcd"}
    here, there = next((here, there) for here in "abcd" for there in "wxyz" if there not in linked[here])
    return net, net.hosts[here], net.hosts[there]


@pytest.mark.parametrize(("later", "revisions"), [(1000, 0), (0, 3)])
def test_what_is_said_in_the_name_of_a_node_that_is_not_linked_is_outbid(later: int, revisions: int) -> None:
    """Seeds 177 and 186 of `mixed`: a copy of a node had been heard by some, and then its sessions stayed away."""
    net, alone, victim = two_colos()
    made = make(net, victim, 1)
    net.until(lambda: has(net, alone, made))
    (record,) = (record for record, _ in victim.core.records() if record.node == victim.name)
    terms = tuple(replace(each, reach=REACH_SERVER) for each in record.vips)
    lie = replace(
        record,
        incarnation=record.incarnation + later,
        revision=record.revision + revisions,
        vips=terms,
        address="lie:1",
    )
    alone.core.receive(b"another link", encode(victim.name, lie.incarnation, Hello("test", lie)), net.now)
    net.run(0.1)
    assert not has(net, alone, made), "as the newest word of its origin asks"
    net.until(lambda: has(net, alone, made), within=60)
    newer = make(net, victim, 2)
    net.until(lambda: has(net, alone, newer))


def test_a_copy_that_left_before_its_victim_was_heard_is_outbid_too() -> None:
    """Seed 299 of `mixed`: what the copy had forbidden was remembered when everything else of it was forgotten."""
    net = Net()
    net.add("a", "ams1", vip("a"))
    copy = net.add("x", "ams1", vip("x", reach=REACH_SERVER), seeds=("a:7946",), incarnation=9, address="copy:7946")
    net.run(5)
    copy.core.leave(net.now)
    net.run(1)
    net.stop("x@copy:7946")
    victim = net.add("x", "ams1", vip("x"), seeds=("a:7946",), incarnation=3)
    made = make(net, victim, 1)
    net.until(lambda: has(net, net.hosts["a"], made), within=60)


def looking(roster: NodeRecord | None, age: tuple[int, int]) -> tuple[SupersededLives, list[tuple[str, int]]]:
    told: list[tuple[str, int]] = []
    table = RosterTable("ams1", 100, [].append)
    if roster is not None:
        table.note(roster, 0, 0.0)
    members = Members(Limits(), EventLog())
    return SupersededLives(
        lambda: {"x": age}, members, table, lambda address, life, _now: told.append((address, life)), 0.0
    ), told


@pytest.mark.parametrize(
    ("age", "tells"), [((6, 0), True), ((5, 3), True), (AGE, False), ((5, 1), False), ((4, 9), False)]
)
def test_only_who_is_behind_is_told_and_only_after_a_while(age: tuple[int, int], tells: bool) -> None:
    made, told = looking(NodeRecord("x", *AGE[:1], "fra1", "x:1", AGE[1], ()), age)
    for now in range(12):
        made.sweep(float(now))
    assert told == []
    for now in range(12, 22):
        made.sweep(float(now))
    assert told == ([("x:1", age[0])] * 2 if tells else [])


def test_of_a_name_that_its_colo_does_not_tell_of_nothing_is_said() -> None:
    made, told = looking(None, (6, 0))
    for now in range(40):
        made.sweep(float(now))
    assert told == []
