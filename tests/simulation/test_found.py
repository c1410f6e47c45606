"""Bugs that the simulator found, each as the smallest world that shows it, with the seed of "mixed" that did first."""

from __future__ import annotations

from dataclasses import replace

from meshcache.core.policy.gates import REACH_EVERYWHERE as WIDE
from meshcache.core.policy.gates import REACH_SERVER
from meshcache.core.wire.messages import Fetch, FetchReply, Hello, Leave, Ping, Pong, Push, Roster, Withdraw
from tests.core.net import Net, Puppet, dropped, has, make, mesh, sid, vip
from tests.simulation import builder
from tests.simulation.host import Host
from tests.simulation.truth import VipTruth
from tests.simulation.world import World


def linked(host: Host, colo: str) -> list[str]:
    """The living nodes of a colo that a node is linked to."""
    return [peer["name"] for peer in host.core.peers(host.now()) if peer["colo"] == colo and peer["state"] == "alive"]


def two_colos(seed: int) -> World:
    world = World(seed)
    builder.plain(world, 2, 4)
    world.run(15)
    return world


def test_a_node_that_hears_of_the_dead_links_to_the_living() -> None:
    """Seed 14: hearsay of a dead relay was dialled for a while, and then nobody else was."""
    world = two_colos(14)
    here = world.hosts["c00-01"]
    for name in linked(here, "c01"):
        world.kill(world.hosts[name])
    world.kill(here)
    here = world.restart("c00-01")  # knows the dead from its peers' rosters only
    world.run(15)
    assert linked(here, "c01")


def test_a_seed_whose_link_had_ended_is_dialled_again_when_it_is_needed() -> None:
    """Seed 14: an address that had answered once counted as found for ever."""
    world = two_colos(14)
    for name in ("c01-01", "c01-02", "c01-03"):
        world.kill(world.hosts[name])
    world.run(30)
    assert [linked(host, "c01") for host in world.alive() if host.colo == "c00"] == [["c01-00"]] * 4


def test_of_a_silent_peer_no_revision_counts_as_known() -> None:
    """Seed 10: another life of a node had the same revision, so it believed itself known and was lost for ever."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    assert peer.hears(Hello)[-1].knows == 1
    net.run(12)
    assert peer.hears(Hello)[-1].knows == 0


def test_what_an_earlier_life_made_is_held_to_the_terms_of_this_one() -> None:
    """Seed 9: a node told everybody but itself."""
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    session = make(net, a, 1)
    net.run(1)
    net.stop("a")
    a = net.add("a", "ams1", vip("a"), seeds=(b.address,))
    net.until(lambda: has(net, a, session))
    a.core.set_vip(vip("a", reach=replace(vip("a").terms.reach, colos=frozenset({"x"}))), net.now)
    found = a.core.session_origin("shop", session)
    assert found is not None
    assert found[1].reach.colos == {"x"}


def test_newer_terms_of_an_origin_that_is_lost_are_believed_from_others() -> None:
    """Seed 27: the last word of a dying origin reached some; the others took it for a forgery."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    other, origin = Puppet(net, "other", "ams1", vip("other")), Puppet(net, "x", "fra1", vip("x", "fra1"))
    other.joins(host)
    origin.joins(host)
    stricter = Push(replace(origin.batch(1), age=(origin.incarnation, 9)))
    other.says(host, stricter)
    assert dropped(host, net)["forged_terms"] == 1
    net.run(9)
    other.joins(host)
    other.says(host, stricter)
    assert dropped(host, net)["forged_terms"] == 1


def test_what_waits_to_be_sent_is_recalled_when_the_receiver_becomes_stricter() -> None:
    """Seed 36: an answer that was ready when the news came went out after it."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    net.run(1)
    make(net, host, 1)
    host.core.duties.publisher.flush(net.now)
    assert host.core.duties.outbox.waiting(peer.address)
    record = replace(peer.record, revision=2, vips=(vip("x", reach=REACH_SERVER).terms,))
    peer.says(host, Hello("test", record))
    assert not [message for message in host.core.messages_to_send(net.now) if message.sessions]
    assert dropped(host, net)["recalled_unsent"] == 1


def test_among_many_strangers_those_who_share_find_each_other_soon() -> None:
    """Seed 11: with one partner in fifty that has what is missing, it took minutes to be drawn."""
    world = World(11)
    world.colos = ("ams1",)
    for number in range(24):
        group = "shared" if number < 3 else f"own {number}"
        world.start(f"n{number:02}", "ams1", {"shop": VipTruth(group, builder.SETTINGS, "colo")}, ("n00:7946",))
    world.run(10)
    world.network.lose(lambda sender, receiver, _payload: (sender, receiver) == ("n00", "n02"))
    session = world.make(world.hosts["n00"], "shop")
    world.run(0.5)
    world.kill(world.hosts["n00"])
    assert world.until(lambda: world.hosts["n02"].core.holds("shop", session.id), within=60) < 30


def test_what_a_node_said_before_it_went_outlives_what_others_still_believe() -> None:
    """Seed 27: once the link had ended, a peer that had missed the origin's last word gave back what was recalled."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    other, origin = Puppet(net, "other", "ams1", vip("other")), Puppet(net, "x", "fra1", vip("x", "fra1", reach=WIDE))
    host.core.set_vip(vip("me", reach=WIDE), net.now)
    other.joins(host)
    origin.joins(host)
    old = Push(origin.batch(1))
    origin.says(host, Hello("test", replace(origin.record, revision=2, vips=(vip("x", "fra1").terms,))))
    origin.says(host, Leave())
    other.says(host, Roster("fra1", 0, (origin.record,)))
    other.says(host, old)
    assert not host.core.holds("shop", sid(1))


def test_what_waited_for_a_node_that_did_not_read_is_no_younger_than_a_withdraw() -> None:
    """Seeds 155 and 235: births counted from when a message was read, so a withdraw missed what waited in a queue."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    net.run(3)
    peer.says(host, Pong(0))
    net.run(6)  # the peer pushes at once, a withdraw comes 2 s later, and nothing is read before 6 s
    peer.says(host, Push(peer.batch(1)))
    peer.says(host, Withdraw("x", peer.incarnation, 1, 4, 3600))
    assert not host.core.holds("shop", sid(1))


def test_after_an_answer_what_comes_is_as_old_as_it_says() -> None:
    """Seed 235: else whatever follows a silence would be taken for too old, for ever."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    peer.answers(host)
    net.run(6)
    peer.says(host, Push(peer.batch(1)))
    net.run(1)
    peer.says(host, Pong(peer.hears(Ping)[-1].token))
    peer.says(host, Push(peer.batch(2)))
    born = [session.born_at for session in host.core.duties.cache.sessions("shop")]
    assert [round(net.now - at) for at in born] == [7, 0]


def test_what_comes_in_answer_to_a_question_is_not_older_than_the_question() -> None:
    """Seed 124: each repair after a cut made sessions older by the whole cut, until a withdraw of long ago fitted."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    net.run(3)
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    net.run(6)
    peer.says(host, Push(peer.batch(2)))
    net.run(0.5)
    peer.says(host, FetchReply(peer.hears(Fetch)[-1].token, peer.batch(1)))
    born = {session.seq: session.born_at for session in host.core.duties.cache.sessions("shop")}
    assert net.now - born[2] > 6
    assert net.now - born[1] < 2


def test_a_word_that_forbade_ends_with_a_newer_one_that_does_not() -> None:
    """Seed 296: a node that had been strict for a second never took back what its earlier life had made."""
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    session = make(net, a, 1)
    net.run(1)
    net.stop("a")
    a = net.add("a", "ams1", vip("a"), seeds=(b.address,))
    net.until(lambda: has(net, a, session))
    net.run(5)
    for reach in (REACH_SERVER, WIDE):  # nobody else hears of the first
        a.core.set_vip(vip("a", reach=reach), net.now)
    assert not has(net, a, session)
    net.until(lambda: has(net, a, session), within=20)


def test_what_a_stalled_node_reads_of_a_peer_that_came_meanwhile_is_no_younger_than_a_withdraw() -> None:
    """Seed 34: nobody knew how long the messages of a new life had waited, so they counted as made just now."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    net.run(3)
    net.now += 9.5  # nothing ran here, while a peer began, made a session, and another withdrew it 2 s later
    peer, other = Puppet(net, "x", "ams1", vip("x")), Puppet(net, "y", "ams1", vip("y"))
    peer.joins(host)
    other.joins(host)
    peer.says(host, Push(peer.batch(1)))
    assert host.core.holds("shop", sid(1))
    other.says(host, Withdraw("y", other.incarnation, 1, 3, 3600, "shop", "", "x"))
    assert not host.core.holds("shop", sid(1))
