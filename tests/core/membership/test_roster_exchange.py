"""Rosters exchanged: pages, forgeries, and what is only hinted at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcache.core.membership.roster_exchange import PENDING_MAX
from meshcache.core.policy.gates import Reach
from meshcache.core.values.events import IncarnationRaised
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.messages import ColoDigest, Digest, Hello, Push, Roster, RosterAsk
from meshcache.core.wire.record_size import PAGES_BYTES_MAX, weight
from tests.core.net import Host, Net, Puppet, dropped, has, make, mesh, sid, vip
from tests.core.samples import large_record


def world() -> tuple[Net, Host, Puppet]:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    return net, host, peer


def record(name: str, colo: str, incarnation: int = 1) -> NodeRecord:
    return NodeRecord(name, incarnation, colo, f"{name}:7946", 1, ())


def known(host: Host, colo: str) -> list[str]:
    return [found.node for found in host.core.duties.roster.records(colo)]


def test_what_is_fresher_is_asked_for_and_learnt_when_all_pages_are_here() -> None:
    net, host, peer = world()
    peer.says(host, Digest(b"\0" * 128, (ColoDigest("fra1", b"\x01" * 8, 3),)))
    assert peer.hears(RosterAsk) == [RosterAsk(("fra1",))]
    peer.says(host, Roster("fra1", 3, (record("b", "fra1"),), 1, 2))
    assert known(host, "fra1") == []
    peer.says(host, Roster("fra1", 3, (record("a", "fra1"),), 0, 2))
    assert known(host, "fra1") == ["a", "b"]
    assert host.core.stats(net.now)["gossip"]["dropped"] == {}


def test_a_colo_is_asked_for_once_a_second() -> None:
    net, host, peer = world()
    for at in range(5):
        peer.says(host, Digest(b"\0" * 128, (ColoDigest("fra1", bytes([at]) * 8, 3),)))
    assert len(peer.hears(RosterAsk)) == 1
    net.run(1.1)
    peer.says(host, Digest(b"\0" * 128, (ColoDigest("fra1", b"\x09" * 8, 3),)))
    assert len(peer.hears(RosterAsk)) == 2


def test_nodes_of_our_own_colo_are_dialled_and_not_believed() -> None:
    _, host, peer = world()
    peer.says(host, Roster("ams1", 0, (record("me", "ams1", 99), record("new", "ams1"), record("odd", "fra1"))))
    assert host.core.links() == {"x:7946", "new:7946"}
    assert known(host, "ams1") == []
    assert len(host.core.peers(0.0)) == 1


def test_what_is_known_is_given_in_pages_that_join() -> None:
    net, host, peer = world()
    for at in range(200):
        Puppet(net, f"n{at:03}", "ams1", vip(f"n{at:03}", reach=Reach.parse([f"c{n}" for n in range(20)]))).joins(host)
    peer.says(host, RosterAsk(("ams1", "nowhere")))
    pages = peer.hears(Roster)
    assert {page.colo for page in pages} == {"ams1"}
    assert [page.page for page in pages] == list(range(pages[0].pages))
    assert len(pages) > 1
    assert sum(len(page.records) for page in pages) == 202


def test_a_page_that_is_not_of_its_set_is_dropped() -> None:
    net, host, peer = world()
    peer.says(host, Roster("fra1", 3, (record("a", "fra1"),), 2, 2))
    assert dropped(host, net) == {"bad_page": 1}
    peer.says(host, Roster("fra1", 3, (record("a", "fra1"),), 0, 2))
    peer.says(host, Roster("fra1", 3, (record("b", "fra1"),), 1, 3))
    assert known(host, "fra1") == []


def test_half_told_rosters_are_bounded() -> None:
    _, host, peer = world()
    for at in range(PENDING_MAX + 50):
        peer.says(host, Roster(f"c{at}", 3, (), 0, 2))
    assert len(host.core.duties.rosters.pending) == PENDING_MAX


@pytest.mark.slow
def test_half_told_rosters_are_bounded_by_their_weight_too() -> None:
    net, host, peer = world()
    one = large_record("n", "fra1", name_bytes=4)
    rosters = host.core.duties.rosters
    for at in range(20):
        for page in range(5):
            peer.says(host, Roster(f"c{at}", 3, (one,), page, 64))
            assert sum(rosters.pending.values()) <= PAGES_BYTES_MAX
    assert len(rosters.pending) == PAGES_BYTES_MAX // (5 * weight(one))
    assert dropped(host, net) == {"too_heavy": 20 - len(rosters.pending)}


def test_a_page_that_is_told_twice_weighs_once() -> None:
    _, host, peer = world()
    one = large_record("n", "fra1", name_bytes=4)
    for _ in range(3):
        peer.says(host, Roster("fra1", 3, (one,), 0, 2))
    assert list(host.core.duties.rosters.pending.values()) == [weight(one)]


def test_only_a_colos_own_nodes_can_say_that_they_see_it_now() -> None:
    _, host, _ = world()
    net = Net()
    near, far = Puppet(net, "near", "ams1"), Puppet(net, "far", "fra1")
    for puppet in (near, far):
        puppet.joins(host)
    far.says(host, Roster("fra1", 0, (record("far", "fra1"), record("a", "fra1"))))
    assert known(host, "fra1") == ["a", "far"]
    near.says(host, Digest(b"\0" * 128, (ColoDigest("fra1", b"\x07" * 8, 0),)))
    assert near.hears(RosterAsk) == []


def test_a_node_that_speaks_for_itself_is_in_the_roster_of_its_colo() -> None:
    _, host, _ = world()
    net = Net()
    far = Puppet(net, "far", "fra1")
    far.says(host, Hello("test", far.record))
    assert known(host, "fra1") == ["far"]


@pytest.mark.parametrize(("later", "revisions"), [(50, 0), (0, 50)])
@pytest.mark.parametrize("group", ["shop", "another"])
def test_what_is_told_of_another_colo_in_this_nodes_name_takes_nothing_from_it_and_is_outbid(
    later: int, revisions: int, group: str
) -> None:
    """A copy of it that was started there, or a member that lies: its own stream went, and each handshake failed."""
    net, host, peer = world()
    own = host.core.duties.vips.record
    made = make(net, host, 1)
    terms = replace(own.vips[0], colo="fra1", group=group)
    lie = replace(
        own, colo="fra1", incarnation=own.incarnation + later, revision=own.revision + revisions, vips=(terms,)
    )
    for _ in range(20):
        peer.says(host, Roster("fra1", 0, (lie,)))
        peer.lives(host, 0.5)
        lie = replace(lie, incarnation=lie.incarnation + 2)  # as a copy that outbids in its turn
    assert has(net, host, made)
    assert has(net, host, make(net, host, 2))
    assert len(host.happened(IncarnationRaised)) == 1, "and not once for each time it is told"
    assert [each["reason"] for each in host.core.stats(net.now)["refusals"]] == ["forged_name"]


def test_a_former_life_in_another_colo_is_no_reason_to_begin_a_new_one() -> None:
    _, host, peer = world()
    own = host.core.duties.vips.record
    peer.says(host, Roster("fra1", 0, (replace(own, colo="fra1", incarnation=own.incarnation - 1, revision=999),)))
    peer.lives(host, 10)
    assert not host.happened(IncarnationRaised)


def test_what_is_told_of_another_colo_in_the_name_of_a_node_that_is_heard_keeps_nothing_of_it_away() -> None:
    net, host, peer = world()
    terms = replace(peer.vips[0], colo="fra1", group="another")
    lie = replace(peer.record, colo="fra1", incarnation=peer.record.incarnation + 50, vips=(terms,))
    other = Puppet(net, "y", "ams1", vip("y"))
    other.joins(host)
    other.says(host, Roster("fra1", 0, (lie,)))
    peer.says(host, Push(peer.batch(1)))
    assert has(net, host, sid(1))
    assert [record.node for record, _ in host.core.records()] == ["me", "x", "y"]


def test_a_node_is_listed_once_whatever_another_colo_says() -> None:
    _, host, peer = world()
    own = host.core.duties.vips.record
    peer.says(host, Roster("fra1", 0, (replace(own, colo="fra1"),)))
    assert [(record.node, state) for record, state in host.core.records()] == [("me", "own"), ("x", "alive")]


def test_two_that_a_firewall_kept_apart_from_the_start_meet_when_it_opens_and_are_named_until_then() -> None:
    """Each knew of the other from a third, tried for 40 seconds, and never again."""
    net = Net()
    a, b, c = mesh(net, ["a", "b", "c"])
    net.lose = lambda sender, receiver, _: {sender, receiver} == {"b", "c"}
    net.run(240)
    assert [len(host.core.peers(net.now)) for host in (a, b, c)] == [2, 1, 1]
    for host, other in ((b, "c"), (c, "b")):
        (told,) = host.core.stats(net.now)["refusals"]
        assert (told["node"], told["address"], told["reason"]) == (other, f"{other}:7946", "unreached")
    assert a.core.stats(net.now)["refusals"] == []
    made = make(net, b, 1)
    net.until(lambda: has(net, c, made), within=15)
    net.lose = lambda *_: False
    net.until(lambda: len(b.core.peers(net.now)) == len(c.core.peers(net.now)) == 2, within=60)


def test_who_starts_or_leaves_is_not_named_as_out_of_reach() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b", "c", "d"])
    net.run(30)
    hosts[3].core.leave(net.now)
    net.run(1)
    net.stop("d")
    net.add("e", "ams1", vip("e"), seeds=("a:7946",))
    net.run(200)
    assert [host.core.stats(net.now)["refusals"] for host in net.hosts.values() if host.up] == [[]] * 4
