"""Comparing with some peer: what no gap and no heartbeat shows, for few bytes when there is nothing to show."""

from __future__ import annotations

import random

import pytest

from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import Digest, Fetch, Push, Seen, Vector
from tests.core.net import Host, Net, Puppet, has, make, mesh, vip

WITHDRAW = 16
"""The kind of message, by its number in `docs/protocol.md`."""


def settled(count: int, seed: int = 1) -> tuple[Net, list[Host]]:
    net = Net(seed)
    hosts = mesh(net, [f"n{at}" for at in range(count)])
    net.run(6)
    return net, hosts


def carried(net: Net, kind: int) -> int:
    return sum(payload[1] == kind for _, _, payload, _ in net.sent)


def test_peers_that_know_the_same_exchange_digests_and_nothing_else() -> None:
    net, hosts = settled(5)
    for number, host in enumerate(hosts):
        make(net, host, number)
    net.run(1)
    net.sent.clear()
    net.run(60)
    assert 40 <= carried(net, 10) <= 80
    assert carried(net, 11) == carried(net, 8) == 0


@pytest.mark.parametrize("seed", range(5))
def test_no_peer_is_left_out_for_long(seed: int) -> None:
    net = Net(seed)
    host = net.add("me", "ams1", vip("me"))
    peers = [Puppet(net, f"x{at}", "ams1", vip(f"x{at}")) for at in range(7)]
    for peer in peers:
        peer.joins(host)
    peers[0].lives(host, 8, *peers[1:])
    net.sent.clear()
    peers[0].lives(host, 8 * 1.2 * net.limits.entropy_s, *peers[1:])
    assert all(peer.hears(Digest) for peer in peers)


@pytest.mark.slow
def test_an_idle_node_of_a_colo_sends_under_a_kilobyte_a_second() -> None:
    net, hosts = settled(20)
    make(net, hosts[0], 1)
    net.run(2)
    net.sent.clear()
    net.run(30)
    assert sum(len(payload) for _, _, payload, _ in net.sent) / 30 / 20 < 1000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_a_dead_origin_told_only_one_is_with_all_soon(seed: int) -> None:
    net, hosts = settled(20, seed)
    net.lose = lambda sender, receiver, _: sender == "n0" and receiver != "n7"
    made = make(net, hosts[0], 1)
    net.run(0.05)
    net.stop("n0")
    net.lose = lambda *_: False
    assert sum(has(net, host, made) for host in hosts[1:]) == 1
    net.until(lambda: all(has(net, host, made) for host in hosts[1:]), within=20)


def test_a_former_lifes_sessions_come_back_to_who_lost_them() -> None:
    net, hosts = settled(3)
    made = make(net, hosts[0], 1)
    net.run(1)
    net.stop("n0")
    again = net.add("n0", "ams1", vip("n0"), seeds=("n1:7946",))
    net.until(lambda: has(net, again, made), within=5)


def test_what_a_vector_claims_is_asked_for_after_a_moment() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    net.run(3)
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    key = StreamKey("far", 3, "shop")
    peer.says(host, Vector(0, (Seen(key, (1, 5)),)))
    net.run(0.5)
    assert peer.hears(Fetch) == []
    net.run(0.5)
    assert [(fetch.key, fetch.ranges) for fetch in peer.hears(Fetch)] == [(key, ((1, 5),))]


def test_a_claim_about_our_own_stream_or_one_that_we_may_not_have_is_ignored() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    net.run(3)
    peer = Puppet(net, "x", "ams1", vip("x"), vip("x", name="blog"))
    island = Puppet(net, "island", "ams1", vip("island", digest=b"\x09" * 32))
    for puppet in (peer, island):
        puppet.joins(host)
    own = StreamKey("me", 1, "shop")
    other, differing = StreamKey("x", 7, "blog"), StreamKey("island", 7, "shop")
    peer.says(host, Vector(0, (Seen(own, (1, 500)), Seen(other, (1, 5)), Seen(differing, (1, 5)))))
    peer.lives(host, 3, island)
    assert peer.hears(Fetch) == island.hears(Fetch) == []


def test_nodes_agree_after_any_order_of_arrival() -> None:
    net = Net()
    hosts = [net.add(name, "ams1", vip(name, reach=REACH_EVERYWHERE)) for name in ("a", "b")]
    origin = Puppet(net, "o", "ams1", vip("o", reach=REACH_EVERYWHERE))
    rng = random.Random(2)
    for host in hosts:
        origin.joins(host)
        for first in rng.sample(range(1, 60), 59):
            origin.says(host, Push(origin.batch(first)))
    asker = Puppet(net, "x", "ams1", vip("x", reach=REACH_EVERYWHERE))
    digests = []
    for host in hosts:
        asker.joins(host)
        digests.append(asker.hears(Digest)[-1].buckets)
    assert digests[0] == digests[1]
    assert digests[0] != b"\0" * 128


def test_withdraws_and_rosters_differ_in_a_digest_and_are_answered_once() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    before = len(peer.hears(Digest))
    peer.says(host, Digest(b"\0" * 128, (), b"\x01" * 8))
    peer.says(host, Digest(b"\0" * 128, (), b"\x01" * 8, answer=True))
    answers = peer.hears(Digest)[before:]
    assert [digest.answer for digest in answers] == [True]


@pytest.mark.parametrize("seed", range(5))
def test_a_withdraw_that_got_lost_on_its_way_to_all_is_with_all_soon(seed: int) -> None:
    net, hosts = settled(4, seed)
    made = make(net, hosts[0], 1)
    net.run(1)
    assert all(has(net, host, made) for host in hosts)
    net.lose = lambda _sender, _receiver, payload: payload[1] == WITHDRAW
    hosts[0].core.withdraw(net.now, vip="shop")
    net.run(0.1)
    net.lose = lambda *_: False
    assert net.lost >= 3
    net.run(1.5)
    assert not any(has(net, host, made) for host in hosts)


@pytest.mark.parametrize("seed", range(5))
def test_a_withdraw_whose_first_messages_all_got_lost_is_told_in_seconds(seed: int) -> None:
    """On a bad line the withdraw and the comparison after it get lost, and there may be one peer only to tell."""
    net, hosts = settled(2, seed)
    made = make(net, hosts[0], 1)
    net.run(1)
    assert has(net, hosts[1], made)
    ends = net.now + 1.5
    net.lose = lambda *_: net.now < ends
    hosts[0].core.withdraw(net.now, vip="shop")
    net.until(lambda: not has(net, hosts[1], made), within=2.1)
    net.sent.clear()
    net.run(60)
    assert carried(net, 10) <= 32, "it goes on as before"
