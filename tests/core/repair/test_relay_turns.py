"""Tests of `core.repair.relay_turns`: what a relay may have lost comes by the next one, and little else."""

from __future__ import annotations

from collections import deque
from typing import Any

from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE
from meshcache.core.wire.codec import Decoder
from meshcache.core.wire.messages import Leave, Ping, Pong, Push
from tests.core.net import Host, Net, Puppet, make, mesh, sessions, sid, vip


def two_colos(net: Net, **settings: Any) -> tuple[list[Host], list[Host]]:
    home = mesh(net, ["a", "b"], reach=REACH_EVERYWHERE, copies=2, **settings)
    away = mesh(net, [f"z{at}" for at in range(4)], "fra1", REACH_EVERYWHERE, copies=2, **settings)
    net.run(20)
    return home, away


def relay(net: Net, maker: Host) -> str:
    terms = maker.core.local_vips()[0].terms
    (peer,) = maker.core.duties.audiences.of_own(terms).relays
    return peer.name


def copies(hosts: list[Host], made: list[bytes]) -> set[int]:
    return {sum(host.up and host.core.holds("shop", each) for host in hosts) for each in made}


def test_what_a_relay_took_with_it_comes_by_the_next_one() -> None:
    net = Net()
    home, away = two_colos(net)
    old = [make(net, home[0], number) for number in range(1, 200)]
    net.run(40)
    assert copies(away, old) == {2}
    first = relay(net, home[0])
    net.stop(first)
    lost = [make(net, home[0], number) for number in range(1000, 1020)]
    net.run(50)  # a relay keeps what it passes on for half a minute
    assert relay(net, home[0]) != first
    assert copies(away, lost) == {2}
    assert copies(away, old) == {2}


def test_a_new_relay_isnt_given_again_what_its_colo_has_for_long() -> None:
    net = Net()
    home, away = two_colos(net)
    for number in range(1, 400):
        make(net, home[0], number)
    net.run(60)
    crossed = sum(n for sender, to, _, n in net.sent if sender in "ab" and to[0] == "z")
    net.stop(relay(net, home[0]))
    net.run(30)
    after = sum(n for sender, to, _, n in net.sent if sender in "ab" and to[0] == "z")
    assert after - crossed <= 10
    assert all(sessions(host, net)["refused"] == {} for host in away if host.up)


def test_a_colo_that_comes_later_gets_its_copies() -> None:
    net = Net()
    home = mesh(net, ["a", "b"], reach=REACH_EVERYWHERE, copies=2)
    net.run(5)
    made = [make(net, home[0], number) for number in range(1, 100)]
    net.run(5)
    away = mesh(net, ["z0", "z1", "z2"], "fra1", REACH_EVERYWHERE, copies=2)
    net.run(30)
    assert copies(away, made) <= {2, 3}, "one more where the first to come didn't know the last yet"


def test_with_push_none_no_relay_is_told_anything() -> None:
    net = Net()
    home, away = two_colos(net, push=False)
    made = [make(net, home[0], number) for number in range(1, 50)]
    net.run(10)
    assert copies(away, made) == {0}
    decoder = Decoder()
    crossed = [
        decoder.decode(payload).message for sender, to, payload, _ in net.sent if sender in "ab" and to[0] == "z"
    ]
    assert not any(isinstance(message, Push) for message in crossed)


def test_a_push_that_comes_before_a_relay_is_told_where_to_begin_hides_nothing() -> None:
    net = Net()
    home, away = two_colos(net)
    made = [make(net, home[0], number) for number in range(1, 100)]
    net.run(1)
    first = relay(net, home[0])
    net.stop(first)
    net.lose = lambda sender, receiver, payload: sender in "ab" and receiver[0] == "z" and payload[:2] == b"\x84\x07"
    lost = [make(net, home[0], number) for number in range(200, 210)]
    net.run(12)
    heard = {relay(net, host) for host in home}
    assert first not in heard
    net.lose = lambda *_: False
    late = [make(net, home[0], number) for number in range(300, 303)]
    net.run(40)
    assert copies(away, [*made, *lost, *late]) == {2}


def test_a_relay_that_may_have_nothing_for_a_while_is_given_it_when_it_may_again() -> None:
    net = Net()
    home, away = two_colos(net)
    made = [make(net, home[0], number) for number in range(1, 50)]
    net.run(40)
    for host in away:
        host.core.set_vip(vip(host.name, "fra1", reach=REACH_COLO, copies=2), net.now)
    net.run(5)
    assert copies(away, made) == {0}
    for host in away:
        host.core.set_vip(vip(host.name, "fra1", reach=REACH_EVERYWHERE, copies=2), net.now)
    net.run(30)
    assert min(copies(away, made)) >= 2


def test_a_new_relay_isnt_given_what_mustnt_leave_any_more() -> None:
    net = Net()
    home, away = two_colos(net, certified=True)
    first = relay(net, home[0])
    kept = make(net, home[0], 1, client_certificate=True)
    net.run(1)
    assert copies(away, [kept]) <= {2, 3}
    net.stop(first)
    home[0].core.set_vip(vip("a", reach=REACH_EVERYWHERE, copies=2), net.now)
    sent = len(net.sent)
    other = make(net, home[0], 2)
    net.run(50)
    assert relay(net, home[0]) != first
    assert copies(away, [other]) == {2}
    pushed = [payload for sender, to, payload, _ in net.sent[sent:] if sender == "a" and to[0] == "z"]
    assert any(other in payload for payload in pushed)
    assert not any(kept in payload for payload in pushed)


def test_what_a_relay_didnt_hear_counts_as_given_to_nobody_however_well_it_is_heard() -> None:
    net = Net()
    home, away = two_colos(net)
    old = [make(net, home[0], number) for number in range(1, 50)]
    net.run(40)
    net.lose = lambda sender, receiver, _: sender in "ab" and receiver[0] == "z"
    lost = [make(net, home[0], number) for number in range(100, 110)]
    net.run(45)
    assert copies(away, lost) == {0}
    net.lose = lambda *_: False
    net.stop(relay(net, home[0]))
    net.run(40)
    assert copies(away, [*old, *lost]) == {2}


def test_a_relay_whose_answers_are_old_counts_as_given_nothing_since_they_were_asked_for() -> None:
    net = Net()
    host = net.add("a", "ams1", vip("a", reach=REACH_EVERYWHERE, copies=2))
    away = [Puppet(net, name, "fra1", vip(name, "fra1", reach=REACH_EVERYWHERE, copies=2)) for name in ("z0", "z1")]
    for puppet in away:
        puppet.joins(host)
    late, due, asked, number = deque[tuple[float, int]](), net.now + 100, 0, 0
    slow, other = sorted(away, key=lambda puppet: puppet.name != relay(net, host))
    while net.now < due:
        number += 1
        make(net, host, number)
        pings = slow.hears(Ping)
        late.extend((net.now + 40, ping.token) for ping in pings[asked:])
        asked = len(pings)
        while late and late[0][0] <= net.now:
            slow.says(host, Pong(late.popleft()[1]))
        slow.lives(host, 0.5, other)
    assert relay(net, host) == slow.name
    slow.says(host, Leave())
    net.run(3)
    assert relay(net, host) == other.name
    assert sid(1) in {each for push in other.hears(Push) for each in push.batch.entries.ids}
