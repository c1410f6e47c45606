"""Alive, suspect, lost: in time when a peer is dead, never when it isn't."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import pytest

from meshcache.core.state.members import FOUND_S
from meshcache.core.values.events import (
    LoopStalled,
    PeerForgotten,
    PeerJoined,
    PeerLeft,
    PeerLost,
    PeerRecovered,
    PeerSuspect,
)
from meshcache.core.wire.messages import Heartbeat, Ping, Pong
from tests.core.net import Host, Net, Puppet, mesh, vip


def settled(names: int = 4, seed: int = 1) -> tuple[Net, list[Host]]:
    net = Net(seed)
    hosts = mesh(net, [f"n{at}" for at in range(names)])
    net.run(5)
    return net, hosts


def test_a_dead_peer_is_suspect_within_3_s_and_lost_within_8_s() -> None:
    net, hosts = settled()
    died = net.now
    net.stop("n3")
    net.run(10)
    for host in hosts[:3]:
        (suspect,), (lost,) = host.happened(PeerSuspect), host.happened(PeerLost)
        assert 2.0 <= suspect.at - died <= 3.05
        assert 7.0 <= lost.at - died <= 8.05


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_half_of_all_messages_lost_makes_no_healthy_peer_flap(seed: int) -> None:
    net, hosts = settled(6, seed)
    faults = random.Random(seed)
    net.lose = lambda *_: faults.random() < 0.5
    net.run(60)
    assert net.lost > 1000
    assert not any(host.happened(PeerLost) for host in hosts)
    assert sum(len(host.happened(PeerSuspect)) for host in hosts) <= 2


def test_a_death_is_noticed_on_a_link_that_loses_half() -> None:
    net, hosts = settled()
    faults = random.Random(5)
    net.lose = lambda *_: faults.random() < 0.5
    net.run(20)
    net.stop("n3")
    net.run(25)
    assert all(len(host.happened(PeerLost)) == 1 for host in hosts[:3])


def test_one_way_silence_is_silence_for_who_hears_nothing() -> None:
    net, hosts = settled(2)
    net.lose = lambda sender, receiver, _: (sender, receiver) == ("n0", "n1")
    net.run(10)
    assert hosts[1].happened(PeerLost)
    assert not hosts[1].happened(PeerLeft)


def test_a_healed_split_is_noticed_within_a_redial() -> None:
    net, hosts = settled(4)
    half = {"n0", "n1"}
    net.lose = lambda sender, receiver, _: (sender in half) != (receiver in half)
    net.run(30)
    assert all(len(host.happened(PeerLost)) == 2 for host in hosts)
    net.lose = lambda *_: False
    net.until(lambda: all(peer["state"] == "alive" for host in hosts for peer in host.core.peers(net.now)), within=5.1)


def test_who_stalls_doubts_himself_and_nobody_else() -> None:
    net, hosts = settled()
    stalled = hosts[0]
    stalled.stalled_until = net.now + 20
    net.run(25)
    assert [round(event.stalled_s) for event in stalled.happened(LoopStalled)] in ([19], [20])
    assert not stalled.happened(PeerSuspect)
    assert all(len(host.happened(PeerLost)) == 1 for host in hosts[1:])
    assert all(len(host.happened(PeerJoined)) == 4 for host in hosts[1:])


def test_a_goodbye_is_no_loss() -> None:
    net, hosts = settled()
    hosts[3].core.leave(net.now)
    net.run(0.1)
    net.stop("n3")
    net.run(10)
    for host in hosts[:3]:
        assert len(host.happened(PeerLeft)) == 1
        assert not host.happened(PeerLost)
        assert hosts[3].address not in host.core.links()


def test_who_left_is_not_brought_back_by_hearsay() -> None:
    net, hosts = settled()
    net.lose = lambda _, receiver, payload: receiver == "n2" and payload[1] == 5
    hosts[3].core.leave(net.now)
    net.run(0.1)
    net.stop("n3")
    net.lose = lambda *_: False
    net.run(30)
    assert [event.node for event in hosts[2].happened(PeerLost)] == ["n3"]
    assert [peer["name"] for peer in hosts[0].core.peers(net.now)] == ["n1", "n2"]


def test_a_lost_peer_is_forgotten_after_ten_minutes_and_its_link_given_back() -> None:
    net, hosts = settled(2)
    net.stop("n1")
    net.run(598)
    assert len(hosts[0].core.peers(net.now)) == 1
    net.run(5)
    assert len(hosts[0].happened(PeerForgotten)) == 1
    assert hosts[0].core.peers(net.now) == []


def test_anything_that_arrives_is_a_sign_of_life() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x")
    peer.joins(host)
    for _ in range(20):
        net.run(0.5)
        peer.says(host, Pong(12345))
    assert not host.happened(PeerSuspect)


def test_a_suspect_that_is_heard_again_has_recovered() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x")
    peer.joins(host)
    net.run(4)
    assert len(host.happened(PeerSuspect)) == 1
    peer.says(host, Ping(1))
    assert len(host.happened(PeerRecovered)) == 1
    assert peer.hears(Pong) == [Pong(1, int(net.now * 1000))]


def test_loss_is_measured_from_the_beats_that_did_not_come() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x")
    peer.joins(host)
    for count in range(2, 80, 2):
        peer.says(host, Heartbeat(count, 1, 1))
    assert host.core.peers(net.now)[0]["loss"] == pytest.approx(0.5, abs=0.05)
    for count in range(80, 120):
        peer.says(host, Heartbeat(count, 1, 1))
    assert host.core.peers(net.now)[0]["loss"] < 0.02


def test_a_beat_that_comes_twice_or_late_is_no_loss() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x")
    peer.joins(host)
    for count in (1, 2, 4, 3, 3, 4, 5):
        peer.says(host, Heartbeat(count, 1, 1))
    assert host.core.peers(net.now)[0]["loss"] <= 0.1


def test_the_round_trip_is_measured() -> None:
    net = Net(delay_s=0.02)
    hosts = mesh(net, ["a", "b"])
    net.run(2)
    assert hosts[0].core.peers(net.now)[0]["rtt_ms"] == pytest.approx(40, abs=1)


def test_a_forged_pong_measures_nothing() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x")
    peer.joins(host)
    (ping,) = peer.hears(Ping)
    net.run(0.05)
    peer.says(host, Pong(ping.token ^ 1))
    assert host.core.peers(net.now)[0]["rtt_ms"] is None
    peer.says(host, Pong(ping.token))
    assert host.core.peers(net.now)[0]["rtt_ms"] == pytest.approx(50, abs=1)


def answers_late(net: Net, host: Host, peer: Puppet, rtt_s: float, seconds: float, say: Callable[[], object]) -> None:
    """Let time pass in which the peer's answers take so long, and `say` is called five times a second."""
    due, heard, end = deque[tuple[float, int]](), 0, net.now + seconds
    while net.now < end:
        say()
        pings = peer.hears(Ping)
        due.extend((net.now + rtt_s, ping.token) for ping in pings[heard:])
        heard = len(pings)
        peer.says(host, Pong(0))  # nor is it silent
        while due and due[0][0] <= net.now:
            peer.says(host, Pong(due.popleft()[1]))
        net.run(0.2)


def test_a_round_trip_that_takes_longer_than_the_pause_between_two_is_measured() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x")
    peer.joins(host)
    answers_late(net, host, peer, 25.0, 60.0, lambda: None)
    assert host.core.peers(net.now)[0]["rtt_ms"] == pytest.approx(25_000, abs=500)


def test_withdraws_that_never_end_leave_a_slow_link_measured_as_it_is() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    peer = Puppet(net, "x")
    peer.joins(host)
    late_s, pings = list[float](), len(peer.hears(Ping))

    def withdraw() -> None:
        host.core.withdraw(net.now, vip="shop")
        (known,) = host.core.duties.members
        late_s.append(known.late_at(net.now))

    answers_late(net, host, peer, 2.0, 40.0, withdraw)
    assert late_s[0] == 60, "nothing was measured yet"
    assert 2 <= min(late_s[20:]) <= max(late_s[20:]) < 4.7
    assert len(peer.hears(Ping)) - pings < 40, "one at a time"


@pytest.mark.parametrize("lives", [True, False])
def test_who_was_found_where_it_is_has_to_be_there_still_soon_after_a_claim(lives: bool) -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a"))
    one, other, third = (Puppet(net, name) for name in ("one", "other", "third"))
    other.address = third.address = one.address
    one.joins(host)
    other.joins(host)
    one.answers(host)
    known = host.core.duties.members.get("one")
    assert known is not None
    assert known.receives
    net.run(FOUND_S / 2)
    third.joins(host)
    received = list[bool]()
    for _ in range(int(FOUND_S / 2 / 0.1) + 15):
        net.run(0.1)
        if lives:
            one.answers(host)
        received.append(known.receives)
    assert all(received[:20]), "it keeps its address for a while"
    assert received[-1] is lives
    assert all(received) is lives
    one.answers(host)
    assert known.receives
