"""Tests of `core.holders.awaiting`: whether a miss is worth waiting for, and what is noticed when it comes."""

from __future__ import annotations

from typing import Any

import pytest

from meshcache.core.holders.awaiting import Whereabouts
from meshcache.core.policy.gates import REACH_SERVER
from meshcache.core.values.limits import Limits
from meshcache.core.values.session_id import Claim, life_of, node_of
from meshcache.core.wire.messages import Ping, Pong, Push
from tests.core.net import Host, Net, Puppet, make, mesh, sid, vip

CLOCK_S = 5_000_000.0
"""What the puppet's clock says when the net begins: machines were started at different times."""

TIME_FOR_IT_S = Limits().on_its_way_s + Limits().flush_s_max


def claim(node: str, incarnation: int, born_at: float, number: int = 1) -> Claim:
    return Claim(sid(number), node_of(node), life_of(node, incarnation), born_at)


class Pair:
    """A host, and a puppet whose clock is far from the host's, as pings have shown."""

    def __init__(self, **served: Any) -> None:
        self.net = Net()
        self.host = self.net.add("me", "ams1", vip("me", **served))
        self.peer = Puppet(self.net, "other", "ams1", vip("other", **served))
        self.peer.joins(self.host)
        self.answer()

    def answer(self) -> None:
        (*_, ping) = self.peer.hears(Ping)
        self.peer.says(self.host, Pong(ping.token, int((CLOCK_S + self.net.now) * 1000)))

    def whereabouts(self, age_s: float, name: str = "other", incarnation: int = 7) -> Whereabouts:
        born_at = CLOCK_S + self.net.now - age_s
        return self.host.core.awaiting.whereabouts("shop", claim(name, incarnation, born_at), self.net.now)


def test_what_a_peer_made_a_moment_ago_by_its_own_clock_is_on_its_way() -> None:
    pair = Pair()
    assert pair.whereabouts(0.001) is Whereabouts.ON_ITS_WAY
    assert pair.whereabouts(TIME_FOR_IT_S - 0.01) is Whereabouts.ON_ITS_WAY
    assert pair.whereabouts(-0.2) is Whereabouts.ON_ITS_WAY, "clocks are compared to within half a round trip"


@pytest.mark.parametrize(
    ("age_s", "name", "incarnation", "found"),
    [
        (TIME_FOR_IT_S + 0.05, "other", 7, Whereabouts.OLD),
        (-1.0, "other", 7, Whereabouts.FUTURE),
        (-1e6, "other", 7, Whereabouts.FUTURE),
        (0.001, "other", 6, Whereabouts.NO_ORIGIN),
        (0.001, "renamed", 7, Whereabouts.NO_ORIGIN),
        (0.001, "me", 1, Whereabouts.OWN),
        (0.001, "me", 99, Whereabouts.OWN),
    ],
)
def test_all_else_is_told_apart_and_waits_for_nothing(
    age_s: float, name: str, incarnation: int, found: Whereabouts
) -> None:
    pair = Pair()
    assert pair.whereabouts(age_s, name, incarnation) is found
    assert asked(pair.host, pair.net) == {found.value: 1}


def test_a_session_that_may_not_come_is_not_waited_for() -> None:
    assert Pair(reach=REACH_SERVER).whereabouts(0.001) is Whereabouts.NOT_PERMITTED
    pair = Pair()
    pair.peer.vips, pair.peer.revision = (vip("other", digest=b"\2" * 32).terms,), 2
    pair.peer.joins(pair.host)
    assert pair.whereabouts(0.001) is Whereabouts.NOT_PERMITTED, "an island"
    gone = pair.host.core.awaiting.whereabouts("absent", claim("other", 7, 0.0), pair.net.now)
    assert gone is Whereabouts.NOT_PERMITTED


def test_a_peer_whose_clock_nobody_knows_is_not_waited_for() -> None:
    """One of 0.1.0 tells no clock; nor does one that has answered no ping yet."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "old", "ams1", vip("old"))
    peer.joins(host)
    peer.answers(host)
    found = host.core.awaiting.whereabouts("shop", claim("old", 7, net.now), net.now)
    assert found is Whereabouts.NO_ORIGIN


def test_a_lost_peer_sends_nothing_that_could_be_waited_for() -> None:
    pair = Pair()
    pair.net.run(9)
    assert pair.host.core.peers(pair.net.now)[0]["state"] == "lost"
    assert pair.whereabouts(0.001) is Whereabouts.NO_ORIGIN


def test_hosts_learn_each_others_clocks_from_pings() -> None:
    net = Net(delay_s=0.02)
    a, _ = mesh(net, ["a", "b"])
    net.run(2)
    peer = next(iter(a.core.duties.members))
    assert peer.ahead_s == pytest.approx(0.0, abs=0.002)


def test_what_comes_of_what_is_awaited_is_told_once() -> None:
    pair = Pair()
    awaiting = pair.host.core.awaiting
    assert not awaiting
    awaiting.want(sid(1))
    awaiting.want(sid(1))
    awaiting.want(sid(9))
    assert awaiting
    pair.peer.says(pair.host, Push(pair.peer.batch(1, 3)))
    assert awaiting.take() == [sid(1)]
    assert awaiting.take() == []
    awaiting.unwant(sid(1))
    awaiting.unwant(sid(9))
    assert len(awaiting) == 1, "two wait for the first"
    awaiting.unwant(sid(1))
    assert not awaiting
    pair.peer.says(pair.host, Push(pair.peer.batch(4)))
    assert awaiting.take() == []


def test_nothing_is_sent_for_what_is_awaited() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    made = make(net, a, 1)
    sent = len(net.sent)
    found = b.core.awaiting.whereabouts("shop", Claim(made, node_of("a"), life_of("a", 1), net.now), net.now)
    b.core.awaiting.want(made)
    assert found is Whereabouts.ON_ITS_WAY
    assert len(net.sent) == sent


def asked(host: Host, net: Net) -> dict[str, int]:
    counts: dict[str, int] = host.core.stats(net.now)["vips"]["shop"]["lookups"]["asked"]["await"]
    return counts
