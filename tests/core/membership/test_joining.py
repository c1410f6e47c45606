"""Who is let in, who is turned away, and how terms reach everybody whatever is lost."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from meshcache.core.values.events import IslandFound, IslandGone, PeerJoined, PeerRefused
from meshcache.core.values.limits import Limits
from meshcache.core.wire.messages import Hello, Refuse
from meshcache.core.wire.record_size import PEERS_BYTES_MAX, weight
from tests.core.net import Host, Net, Puppet, dropped, mesh, vip
from tests.core.samples import large_record


def alive(host: Host, net: Net) -> list[str]:
    return [peer["name"] for peer in host.core.peers(net.now) if peer["state"] == "alive"]


def test_two_nodes_meet_when_one_knows_the_other() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.until(lambda: alive(a, net) == ["b"] and alive(b, net) == ["a"], within=0.2)
    assert [event.node for event in a.happened(PeerJoined)] == ["b"]


def test_everybody_meets_everybody_through_one_seed() -> None:
    net = Net()
    hosts = mesh(net, [f"n{at}" for at in range(12)])
    net.until(lambda: all(len(alive(host, net)) == 11 for host in hosts), within=1.0)
    assert all(len(host.core.links()) == 11 for host in hosts)


def test_nodes_meet_though_half_of_all_messages_get_lost() -> None:
    net = Net()
    faults = random.Random(7)
    net.lose = lambda *_: faults.random() < 0.5
    a, b = mesh(net, ["a", "b"])
    net.until(lambda: alive(a, net) == ["b"] and alive(b, net) == ["a"], within=3.0)
    assert net.lost > 0


def test_a_node_that_dials_itself_notices_and_stops() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"), seeds=("other-name-of-a:1",))
    net._by_address["other-name-of-a:1"] = host
    net.run(5)
    assert host.core.peers(net.now) == []
    assert host.core.links() == frozenset()
    assert dropped(host, net) == {"ourselves": 1}


def test_a_seed_under_another_name_becomes_one_link_to_the_node_behind_it() -> None:
    net = Net()
    a = net.add("a", "ams1", vip("a"))
    net._by_address["seed.example:7946"] = a
    b = net.add("b", "ams1", vip("b"), seeds=("seed.example:7946",))
    net.until(lambda: alive(a, net) == ["b"] and alive(b, net) == ["a"])
    net.run(3)
    assert len(b.core.links()) == 1
    assert b.core.peers(net.now)[0]["name"] == "a"


def test_a_member_of_another_mesh_is_refused_counted_and_reported_once() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    stranger = Puppet(net, "x")
    for _ in range(3):
        stranger.says(host, Hello("other", stranger.record))
    assert dropped(host, net) == {"other_mesh": 3}
    assert host.happened(PeerRefused) == [PeerRefused(net.now, "x", "x:7946", "other_mesh")]
    assert host.core.peers(net.now) == []


def test_a_newer_major_is_refused_and_a_range_that_meets_ours_is_not() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"), seeds=("x:7946",))
    newer = Puppet(net, "x")
    newer.joins(host, majors=(2, 3))
    assert dropped(host, net) == {"other_version": 1}
    assert [refuse.reason for refuse in newer.hears(Refuse)] == ["other_version"]
    Puppet(net, "y").joins(host, majors=(1, 3), minor=200)
    assert alive(host, net) == ["y"]


def test_a_peer_that_refuses_us_is_reported() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    Puppet(net, "x").says(host, Refuse("other_version"))
    assert [event.reason for event in host.happened(PeerRefused)] == ["other_version"]


def test_our_own_name_on_another_host_is_refused() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    Puppet(net, "a", incarnation=99).joins(host)
    assert host.happened(PeerRefused)[0].reason == "name_taken"
    assert host.core.peers(net.now) == []


def test_an_old_incarnation_changes_nothing() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    new, old = Puppet(net, "x", incarnation=8), Puppet(net, "x", incarnation=7)
    new.joins(host)
    old.says(host, Hello("test", old.record), b"elsewhere")
    assert dropped(host, net) == {"old_incarnation": 1}
    assert host.core.peers(net.now)[0]["incarnation"] == 8


def test_a_node_does_not_move_to_another_colo_in_one_life() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    there, here = Puppet(net, "x", "fra1"), Puppet(net, "x", "ams1")
    there.joins(host)
    here.joins(host)
    assert dropped(host, net) == {"colo_changed": 1}


def test_the_table_of_peers_is_bounded() -> None:
    net = Net(limits=Limits(peers_max=3))
    host = net.add("a", "ams1", vip("a"))
    for at in range(5):
        Puppet(net, f"x{at}").joins(host)
    assert len(host.core.peers(net.now)) == 3
    assert dropped(host, net)["peers_full"] == 2


@pytest.mark.slow
def test_a_member_under_many_names_that_say_much_takes_so_much_memory_and_no_more() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    heavy = [Puppet(net, f"x{at:02}") for at in range(60)]
    for puppet in heavy:
        puppet.says(host, Hello("test", large_record(puppet.name)))
    taken = sum(weight(record) for record, state in host.core.records() if state != "own")
    one = weight(large_record("x00"))
    assert PEERS_BYTES_MAX - one < taken <= PEERS_BYTES_MAX
    assert dropped(host, net)["too_heavy"] == 60 - PEERS_BYTES_MAX // one
    assert {event.reason for event in host.happened(PeerRefused)} == {"too_heavy"}
    honest = Puppet(net, "honest", "ams1", vip("honest"))
    honest.joins(host)
    assert host.core._state.members.get("honest")


@pytest.mark.slow
def test_a_peer_that_says_ever_more_is_no_peer_any_more_when_it_is_too_much() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    puppets = [Puppet(net, f"x{at:02}") for at in range(60)]
    for puppet in puppets:
        puppet.joins(host)
    for puppet in puppets:
        puppet.says(host, Hello("test", large_record(puppet.name, revision=2)))
    records = [record for record, state in host.core.records() if state != "own"]
    assert sum(map(weight, records)) <= PEERS_BYTES_MAX
    assert len(records) == 60 - dropped(host, net)["too_heavy"]
    assert {record.revision for record in records} == {2}
    assert len(host.core.links()) == len(records)


def test_changed_terms_reach_every_peer_though_messages_get_lost() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    faults = random.Random(3)
    net.lose = lambda *_: faults.random() < 0.5
    a.core.set_vip(vip("a", digest=b"\x09" * 32), net.now)
    net.until(lambda: b.core.peers(net.now)[0]["islands"] == [{"group": "shop"}], within=6.0)


def test_an_island_is_seen_by_both_sides_and_seen_to_go() -> None:
    net = Net()
    a = net.add("a", "ams1", vip("a"))
    b = net.add("b", "ams1", vip("b", digest=b"\x09" * 32), seeds=(a.address,))
    net.run(3)
    assert a.happened(IslandFound)[0].group == b.happened(IslandFound)[0].group == "shop"
    b.core.set_vip(vip("b"), net.now)
    net.run(1)
    assert len(a.happened(IslandGone)) == len(b.happened(IslandGone)) == 1


def test_an_older_record_of_the_same_life_is_not_taken_back() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.revision = 5
    peer.joins(host)
    peer.says(host, Hello("test", replace(peer.record, revision=4, vips=())))
    assert [served["name"] for served in host.core.peers(net.now)[0]["vips"]] == ["shop"]


def test_a_restart_under_the_same_name_is_a_new_life() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    net.stop("b")
    again = net.add("b", "ams1", vip("b"), seeds=(a.address,))
    net.until(lambda: alive(again, net) == ["a"] and alive(a, net) == ["b"], within=0.5)
    assert [event.incarnation for event in a.happened(PeerJoined)] == [2, 3]
    assert b.name == again.name


def test_chance_is_asked_for_nothing_while_nobody_is_to_be_dialled() -> None:
    """The node's chance is a system call, and its timer runs a thousand times a second under load."""
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.until(lambda: alive(a, net) == ["b"] and alive(b, net) == ["a"], within=0.2)
    asked: list[float] = []
    a.core._state.rng = type("Counting", (), {"random": lambda _: asked.append(net.now) or 0.5})()

    a.core._inside.joining.tick(net.now)

    assert asked == []
