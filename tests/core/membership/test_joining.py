"""Who is let in, who is turned away, and how terms reach everybody whatever is lost."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from meshcache.core.policy.gates import REACH_EVERYWHERE, REACH_SERVER
from meshcache.core.values.events import (
    IncarnationRaised,
    IslandFound,
    IslandGone,
    NameContested,
    PeerJoined,
    PeerRefused,
    RefusedByPeer,
)
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import Outcome
from meshcache.core.values.topology import INCARNATION_MAX
from meshcache.core.wire.codec import Decoder
from meshcache.core.wire.messages import Hello, Push, Refuse
from meshcache.core.wire.record_size import PEERS_BYTES_MAX, weight
from meshcache.core.wire.ticket_messages import TicketKeys
from tests.core.net import Host, Net, Puppet, dropped, has, make, mesh, vip
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
    net.by_address["other-name-of-a:1"] = host
    net.run(5)
    assert host.core.peers(net.now) == []
    assert host.core.links() == frozenset()
    assert dropped(host, net) == {"ourselves": 1}


def test_a_seed_under_another_name_becomes_one_link_to_the_node_behind_it() -> None:
    net = Net()
    a = net.add("a", "ams1", vip("a"))
    net.by_address["seed.example:7946"] = a
    b = net.add("b", "ams1", vip("b"), seeds=("seed.example:7946",))
    net.until(lambda: alive(a, net) == ["b"] and alive(b, net) == ["a"])
    net.run(3)
    assert len(b.core.links()) == 1
    assert b.core.peers(net.now)[0]["name"] == "a"


def test_a_node_that_tells_an_address_in_another_network_is_dialled_where_it_answered() -> None:
    """It came first, so nothing is known of it then but what it tells."""
    net = Net()
    b = net.add("b", "ams1", vip("b"))
    a = net.add("a", "ams1", vip("a"), seeds=(b.address,))
    net.by_address["a-near:1"] = net.by_address.pop(a.address)
    net.until(lambda: alive(b, net) == ["a"])
    assert b.core.peers(net.now)[0]["address"] == a.address
    b.core.candidate("a-near:1", "mdns", net.now)
    net.until(lambda: alive(a, net) == ["b"], within=0.5)
    assert b.core.peers(net.now)[0]["address"] == "a-near:1"
    session = make(net, b, 1)
    net.run(0.1)
    assert has(net, a, session)
    net.by_address[a.address] = a
    b.core.candidate("a-other:1", "mdns", net.now)
    net.by_address["a-other:1"] = a
    net.run(5)
    assert b.core.peers(net.now)[0]["address"] == "a-near:1", "once it was reached it stays there"


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
    assert [event.reason for event in host.happened(RefusedByPeer)] == ["other_version"]


def test_our_own_name_on_another_host_is_refused() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    Puppet(net, "a", incarnation=99).joins(host)
    assert {event.reason for event in host.happened(PeerRefused)} == {"name_taken", "forged_name"}
    assert host.core.peers(net.now) == []


def three(net: Net) -> list[Host]:
    hosts = mesh(net, ["a", "b", "c"])
    net.run(4)
    return hosts


def everywhere(net: Net, hosts: list[Host]) -> bool:
    return all(len(alive(host, net)) == len(hosts) - 1 for host in hosts)


@pytest.mark.parametrize("earlier", [1, 2, 10_000])
def test_a_restart_with_an_earlier_clock_is_heard_at_once(earlier: int) -> None:
    net = Net()
    hosts = [net.add(name, "ams1", vip(name), seeds=("a:7946",), incarnation=20_000) for name in ("a", "b", "c")]
    net.run(4)
    made = make(net, hosts[2], 1)
    net.run(1)
    net.stop("c")
    hosts[2] = net.add("c", "ams1", vip("c"), seeds=("a:7946",), incarnation=20_000 - earlier)
    assert net.until(lambda: everywhere(net, hosts), within=3) < 2
    assert hosts[2].core.duties.local.identity.incarnation > 20_000
    assert hosts[2].happened(IncarnationRaised)
    net.until(lambda: has(net, hosts[2], made), within=10)
    new = make(net, hosts[2], 2)
    net.until(lambda: all(has(net, host, new) for host in hosts), within=1)


def test_a_node_that_left_and_comes_back_with_an_earlier_clock_holds_what_it_made_before_to_its_new_terms() -> None:
    """Seed 76: who said goodbye is no peer any more, but its sessions were still judged by its earlier life's terms."""
    net = Net()
    hosts = [net.add(name, "ams1", vip(name), seeds=("a:7946",), incarnation=20_000) for name in ("a", "b", "c")]
    net.run(4)
    made = make(net, hosts[2], 1)
    net.run(1)
    hosts[2].core.leave(net.now)
    net.run(0.5)
    net.stop("c")
    assert has(net, hosts[0], made)
    hosts[2] = net.add("c", "ams1", vip("c", reach=REACH_SERVER), seeds=("a:7946",), incarnation=10_000)
    net.until(lambda: everywhere(net, hosts), within=5)
    assert not any(has(net, host, made) for host in hosts[:2])


def test_who_goes_on_as_a_later_life_keeps_its_sessions_and_gives_them_to_all() -> None:
    net = Net()
    hosts = three(net)
    net.lose = lambda sender, receiver, _: "c" in (sender, receiver)
    before = make(net, hosts[2], 1)
    net.run(1)
    hosts[2].core.duties.name_outbid(50, "a test", net.now)
    found = hosts[2].core.lookup("shop", before, net.now)
    assert found.outcome is Outcome.LOCAL
    net.lose = lambda *_: False
    after = make(net, hosts[2], 2)
    net.until(lambda: all(has(net, host, made) for host in hosts for made in (before, after)), within=15)


def test_a_name_that_a_living_node_bears_is_not_taken_over_and_everybody_says_both_addresses() -> None:
    net = Net()
    hosts = three(net)
    twin = net.add("c", "ams1", vip("c"), seeds=("a:7946", "b:7946", "c:7946"), address="other:7946")
    net.run(20)
    assert everywhere(net, hosts)
    for host in hosts:
        contested = host.happened(NameContested)
        assert contested, host.name
        assert {contested[0].address, contested[0].other} == {"c:7946", "other:7946"}
    refused = twin.happened(RefusedByPeer)
    assert ("name_taken", "c:7946") in {(event.reason, event.address) for event in refused}
    told = twin.core.stats(net.now)["refusals"]
    assert any(each["by_peer"] and each["reason"] == "name_taken" for each in told)
    made = make(net, hosts[0], 1)
    net.run(1)
    assert has(net, hosts[2], made)


def test_who_is_the_same_life_as_a_copy_that_has_gone_becomes_a_later_one_and_is_heard() -> None:
    """Seed 675: what it said was taken for the copy's, which stayed alive, at its address and on its terms."""
    net = Net()
    here, there = mesh(net, ["a", "c"])
    net.run(4)
    there.stalled_until = net.now + 4
    there.core.duties.name_outbid(there.core.duties.local.identity.incarnation, "a test", net.now)
    same = there.core.duties.local.identity.incarnation
    net.run(3.2)
    copy = net.add("c", "ams1", seeds=("a:7946",), incarnation=same, address="other:7946")
    for reach in (REACH_EVERYWHERE, REACH_SERVER) * 3:  # so that it seems to be no older than the other's
        copy.core.set_vip(vip("c", reach=reach), net.now)
    net.until(lambda: addresses(here, net) == ["other:7946"], within=0.7)
    net.stop("c@other:7946")
    made = make(net, there, 1)
    net.until(lambda: addresses(here, net) == ["c:7946"] and has(net, here, made), within=10)
    assert there.core.duties.local.identity.incarnation > same
    assert alive(there, net) == ["a"]


def addresses(host: Host, net: Net) -> list[str]:
    return [peer["address"] for peer in host.core.peers(net.now)]


def test_only_who_is_told_of_its_own_life_at_another_address_outbids_it() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"), incarnation=50)
    stranger = Puppet(net, "x")
    for life in (0, 49, 51, 10_000):
        stranger.says(host, Refuse("name_taken", life, "other:7946"))
    assert not host.happened(IncarnationRaised)
    stranger.says(host, Refuse("name_taken", 50, "other:7946"))
    assert [event.incarnation > 50 for event in host.happened(IncarnationRaised)] == [True]


def test_two_machines_that_outbid_the_same_life_become_different_ones() -> None:
    net = Net()
    hosts = [net.add("a", "ams1", vip("a"), incarnation=50, address=f"a{at}:7946") for at in range(2)]
    for host in hosts:
        host.core.duties.name_outbid(50, "a test", net.now)
    lives = {host.core.duties.local.identity.incarnation for host in hosts}
    assert len(lives) == 2
    assert all(50 < life <= 1050 for life in lives)


def test_no_life_is_later_than_the_last() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    host.core.duties.name_outbid(INCARNATION_MAX - 1, "a test", net.now)
    assert host.core.duties.local.identity.incarnation == INCARNATION_MAX


@pytest.mark.parametrize("incarnation", [0, 1])
def test_a_node_that_moved_to_another_address_has_its_name_once_its_former_life_is_silent(incarnation: int) -> None:
    net = Net()
    hosts = three(net)
    net.stop("c")
    moved = net.add("c", "ams1", vip("c"), seeds=("a:7946",), address="other:7946", incarnation=incarnation)
    assert net.until(lambda: everywhere(net, [*hosts[:2], moved]), within=10) < 6
    assert not hosts[0].happened(NameContested)


def test_two_copies_with_one_incarnation_become_two_lives_and_it_is_said() -> None:
    net = Net()
    hosts = three(net)
    life = hosts[2].core.duties.local.identity.incarnation
    net.add("c", "ams1", vip("c"), seeds=("a:7946", "c:7946"), address="other:7946", incarnation=life)
    net.run(20)
    assert hosts[2].happened(NameContested)
    assert everywhere(net, hosts)


@pytest.mark.parametrize(("incarnation", "revision"), [(10**9, 1), (0, 40)])
def test_a_node_outbids_what_another_says_in_its_name(incarnation: int, revision: int) -> None:
    net = Net()
    hosts = three(net)
    life = hosts[2].core.duties.local.identity.incarnation
    forged = Puppet(net, "c", "ams1", vip("c", digest=b"\xee" * 32), incarnation=incarnation or life)
    forged.revision = revision
    forged.says(hosts[0], Hello("test", forged.record), connection=b"liar")
    net.until(lambda: hosts[2].core.duties.local.identity.incarnation > forged.incarnation, within=5)
    net.run(1)
    assert everywhere(net, hosts)
    assert not hosts[0].core.duties.members.get("c").islands  # type: ignore[union-attr]
    assert hosts[2].happened(IncarnationRaised)
    made = make(net, hosts[0], 1), make(net, hosts[2], 2)
    net.until(lambda: all(has(net, host, session) for host in hosts for session in made), within=10)


def test_an_old_incarnation_changes_nothing() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    new, old = Puppet(net, "x", incarnation=8), Puppet(net, "x", incarnation=7)
    new.joins(host)
    old.says(host, Hello("test", old.record), b"elsewhere")
    assert dropped(host, net) == {"old_incarnation": 1}
    assert host.core.peers(net.now)[0]["incarnation"] == 8


def test_a_hello_that_comes_late_brings_no_old_terms_back_when_the_link_has_ended() -> None:
    """A node narrows its reach and its link ends; what it said before was held up, or is played again."""
    net = Net(limits=Limits(forget_s=15))
    host = net.add("a", "ams1", vip("a", reach=REACH_EVERYWHERE))
    wide = Puppet(net, "x", "fra1", vip("x", "fra1", reach=REACH_EVERYWHERE))
    wide.joins(host)
    late = Hello("test", wide.record)
    wide.says(host, Hello("test", replace(wide.record, revision=9, vips=(replace(wide.vips[0], reach=REACH_SERVER),))))
    net.until(lambda: not host.core.peers(net.now), within=60)
    made = make(net, host, 1)
    wide.says(host, late)
    net.run(1)
    assert host.core.peers(net.now) == []
    assert dropped(host, net)["old_terms"] == 1
    assert not [push for push in wide.hears(Push) if made in push.batch.entries.ids]
    told = [(hello.incarnation, hello.knows) for hello in wide.hears(Hello)]
    assert (wide.incarnation, 9) in told, "if it never said that, it says so now"
    wide.says(host, Hello("test", replace(wide.record, revision=10)))
    assert [peer["name"] for peer in host.core.peers(net.now)] == ["x"]


def test_nor_does_a_late_hello_of_an_earlier_life() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    wide = Puppet(net, "x", "ams1", vip("x"), incarnation=7)
    wide.says(host, Hello("test", wide.record), b"old")
    strict = Puppet(net, "x", "ams1", vip("x", reach=REACH_SERVER), incarnation=8)
    strict.says(host, Hello("test", strict.record), b"new")
    peer = host.core.duties.members.get("x")
    assert peer is not None
    host.core.duties.members.part(peer)
    wide.says(host, Hello("test", wide.record), b"old")
    assert host.core.peers(net.now) == []
    assert dropped(host, net)["old_incarnation"] == 1
    strict.says(host, Hello("test", strict.record), b"new")
    assert [peer["incarnation"] for peer in host.core.peers(net.now)] == [8]


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
    assert host.core.duties.members.get("honest")


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
    a.core.duties.local.rng = type("Counting", (), {"random": lambda _: asked.append(net.now) or 0.5})()

    a.core.duties.joining.tick(net.now)

    assert asked == []


def test_who_speaks_as_the_life_that_a_copy_took_is_told_when_the_copy_is_gone() -> None:
    """Seed 177 of `mixed`: both had outbid the other up to the same number, and the older record counted as taken."""
    net = Net()
    net.add("a", "ams1", vip("a"))
    copy = net.add("x", "ams1", vip("x"), seeds=("a:7946",), incarnation=9, address="copy:7946")
    net.until(lambda: alive_at(net, "a", "x") == "copy:7946")
    copy.core.set_vip(vip("x", name="more"), net.now)
    net.run(2)
    net.stop("x@copy:7946")
    net.run(12)
    net.add("x", "ams1", vip("x"), seeds=("a:7946",), incarnation=9)
    net.until(lambda: alive_at(net, "a", "x") == "x:7946", within=30)


def alive_at(net: Net, node: str, name: str) -> str:
    """Where a node hears another, if it does."""
    peers = net.hosts[node].core.peers(net.now)
    return next((str(peer["address"]) for peer in peers if peer["name"] == name and peer["state"] == "alive"), "")


def test_one_name_in_two_colos_does_not_begin_a_life_a_second_and_each_keeps_its_colo() -> None:
    """They outbid each other for as long as both run: 1.2 lives a second, each a stream on every node of the mesh."""
    net = Net()
    seeds = ("a:7946", "x:7946")
    colos = {"a": "ams1", "b": "ams1", "x": "fra1", "y": "fra1"}
    for name, colo in colos.items():
        net.add(name, colo, vip(name, colo, reach=REACH_EVERYWHERE), seeds=seeds)
    here = net.add("me", "ams1", vip("me", "ams1", reach=REACH_EVERYWHERE), seeds=seeds[:1])
    there = net.add("me", "fra1", vip("me", "fra1", reach=REACH_EVERYWHERE), seeds=seeds[1:], address="other:7946")
    net.run(120)
    before = [len(host.happened(IncarnationRaised)) for host in (here, there)]
    net.run(120)
    lives = [len(host.happened(IncarnationRaised)) for host in (here, there)]
    assert all(later - sooner <= 120 / 15 + 1 for later, sooner in zip(lives, before, strict=True))
    net.stop("me@other:7946")
    net.run(60)
    made = make(net, here, 1)
    net.until(lambda: all(has(net, net.hosts[name], made) for name in colos), within=10)


def given(net: Net, since: int, address: str) -> set[str]:
    """The VIPs of which sessions or ticket keys were sent to an address since then; of keys the group."""
    names: set[str] = set()
    for _, to, payload, _ in net.sent[since:]:
        message = Decoder().decode(payload).message if to == address else None
        if isinstance(message, Push):
            names.add(message.batch.terms.vip)
        elif isinstance(message, TicketKeys):
            names.add(f"ring {message.ring.hex()}")
    return names


def test_who_listens_where_a_crashed_node_did_gets_nothing_that_was_for_that_one() -> None:
    net = Net()
    a, b = (net.add(name, "ams1", vip(name, rotate_s=600.0), seeds=("a:7946",)) for name in ("a", "b"))
    a.core.set_vip(vip("a", name="pay"), net.now)
    net.run(20)
    since = len(net.sent)
    a.core.tickets.rotate("shop", net.now)
    net.until(lambda: given(net, since, b.address))  # b is given ticket keys
    net.run(11)  # until the next one may be made
    net.stop("b")
    c = net.add("c", "ams1", vip("c", name="pay"), seeds=(a.address,), address=b.address)
    net.until(lambda: "c" in alive(a, net), within=0.5)
    assert "b" in alive(a, net), "it isn't known yet that it crashed"
    since = len(net.sent)
    make(net, a, 1)
    a.core.tickets.rotate("shop", net.now)
    paid = make(net, a, 2, "pay")
    net.until(lambda: has(net, c, paid, "pay"), within=0.1)
    net.run(2)
    make(net, a, 3)
    net.run(10)
    assert given(net, since, b.address) == {"pay"}
    assert alive(a, net) == ["c"]


def test_a_living_node_whose_address_another_claims_goes_on_and_the_other_gets_nothing() -> None:
    net = Net()
    a = net.add("a", "ams1", vip("a"), vip("a", name="pay"))
    b = net.add("b", "ams1", vip("b"), seeds=(a.address,))
    net.run(3)
    liar = Puppet(net, "c", "ams1", vip("c", name="pay"))
    liar.address = b.address
    since = len(net.sent)
    liar.joins(a)
    net.run(0.1)
    session = make(net, a, 1)
    make(net, a, 2, "pay")
    net.run(0.1)
    assert has(net, b, session), "it has answered, and nothing waits for a repair"
    liar.lives(a, 20)
    assert "c" in alive(a, net)
    assert given(net, since, b.address) == {"shop"}
