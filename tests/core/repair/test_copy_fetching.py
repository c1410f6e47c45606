"""Tests of `core.repair.copy_fetching`: what others tell is fetched once, and what they invent costs little."""

from __future__ import annotations

from meshcache.core.values.limits import Limits
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import Fetch, FetchEnd, FetchReply, Held, Holding
from tests.core.net import Net, Puppet, mesh, sessions, sid, vip
from tests.core.repair.colos import colo, copies_of, made_by


def test_what_was_evicted_isnt_fetched_again_and_again() -> None:
    net = Net()
    hosts = colo(net, 3, 2)
    small = mesh(net, ["small"], copies=2, sessions=20)
    net.run(3)
    made = made_by(net, hosts[0], 1)
    net.run(60)
    settled = sessions(small[0], net)["received"]
    net.run(120)
    assert sessions(small[0], net)["received"] <= settled + 20
    assert min(copies_of([*hosts, *small], made)) >= 1


def test_what_a_makers_last_word_made_a_share_comes_also_to_who_missed_that_word() -> None:
    net = Net()
    hosts = colo(net, 4, 0)
    net.run(3)
    made = made_by(net, hosts[0], 1, 20)
    net.lose = lambda sender, to, _: sender == "ams1-0" and to.startswith("ams1-3")
    made += made_by(net, hosts[0], 100, 20)
    for host in hosts:
        host.core.set_vip(vip(host.name, copies=3), net.now)
    net.run(0.5)
    net.stop("ams1-0")
    net.lose = lambda *_: False
    net.run(40)
    assert copies_of(hosts, made) == {3: 40}


def test_what_a_member_invents_costs_bounded_fetches_to_itself_and_nothing_else() -> None:
    net = Net(limits=Limits(holdings_queue_max=64, holdings_wanted_max=2000))
    hosts = colo(net, 3, 2)
    net.run(3)
    holdings = hosts[0].core.duties.holdings
    peer = hosts[0].core.duties.members.get("ams1-1")
    assert peer is not None
    for at in range(200):
        key = StreamKey(f"ghost-{at}", 1, "shop")
        holdings.received(peer, Holding((Held(key, tuple(range(1, 1025, 2))),)), net.now)
    net.run(60)
    assert holdings.settled
    assert hosts[0].core.holds("shop", sid(1)) is False


def test_what_one_member_invents_leaves_room_for_what_others_tell() -> None:
    net = Net(limits=Limits(holdings_wanted_max=1000))
    hosts = colo(net, 3, 3)
    net.run(3)
    made = made_by(net, hosts[2], 1, 20)
    for each in made:
        hosts[0].core.session_removed("shop", each)
    hosts[1].stalled_until = net.now + 60
    liar, honest = (hosts[0].core.duties.members.get(name) for name in ("ams1-1", "ams1-2"))
    assert liar is not None
    assert honest is not None
    for at in range(9):
        held = Held(StreamKey(f"ghost-{at}", 1, "shop"), tuple(range(1, 101)))
        hosts[0].core.duties.holdings.received(liar, Holding((held,)), net.now)
    key = next(stream.key for stream in hosts[0].core.duties.streams if stream.key.origin == "ams1-2")
    hosts[0].core.duties.holdings.received(honest, Holding((Held(key, tuple(range(1, 21))),)), net.now)
    net.until(lambda: all(hosts[0].core.holds("shop", each) for each in made), 0.8)
    assert not hosts[0].core.duties.holdings.settled, "the liar hasn't answered"


def test_what_this_process_made_and_let_go_of_isnt_fetched_back_after_it_was_outbid() -> None:
    net = Net()
    hosts = colo(net, 3, 2)
    net.run(3)
    made = made_by(net, hosts[0], 1, 10)
    former = StreamKey(hosts[0].name, hosts[0].core.duties.local.identity.incarnation, "shop")
    hosts[0].core.duties.name_outbid(former.incarnation + 1000, "its clock was set back", net.now)
    net.run(3)
    hosts[0].core.session_removed("shop", made[0])
    assert not hosts[0].core.holds("shop", made[0])
    peer = hosts[0].core.duties.members.get(hosts[1].name)
    assert peer is not None
    hosts[0].core.duties.holdings.received(peer, Holding((Held(former, tuple(range(1, 11))),)), net.now)
    assert hosts[0].core.duties.holdings.settled


def test_what_waits_for_a_busy_holder_is_asked_for_however_often_the_node_looks() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", copies=2))
    peer = Puppet(net, "x", "ams1", vip("x", copies=2))
    peer.joins(host)
    peer.says(host, Holding(tuple(Held(StreamKey(f"ghost-{at}", 1, "shop"), (1,)) for at in range(40))))
    began, answered = net.now, 0
    while answered < 40:
        assert net.now < began + 5, f"only {answered} were asked for"
        net.run(0.02)
        host.core.handle_timer(net.now)
        for fetch in peer.hears(Fetch)[answered:]:
            answered += 1
            peer.says(host, FetchReply(fetch.token, None, FetchEnd.DONE))
