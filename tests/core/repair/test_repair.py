"""Gaps: noticed, given a moment, fetched from who has them, and left alone when nobody does."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from meshcache.core.policy.gates import Terms
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import FETCH_RANGES_MAX, Fetch, FetchEnd, FetchReply, Heartbeat, Push, Seen, Vector
from tests.core.net import Host, Net, Puppet, dropped, has, make, mesh, sessions, sid, vip


def settled(*names: str, limits: Limits | None = None) -> tuple[Net, list[Host]]:
    net = Net(limits=limits)
    hosts = mesh(net, list(names))
    net.run(5)
    return net, hosts


def watched() -> tuple[Net, Host, Puppet]:
    """A host that has joined, and a puppet that it knows."""
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    net.run(3)
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    return net, host, peer


def test_a_hole_in_the_middle_is_fetched_from_its_origin() -> None:
    net, (a, b) = settled("a", "b")
    make(net, a, 1)
    net.run(0.1)
    net.lose = lambda _, __, payload: payload[1] == 7
    lost = make(net, a, 2)
    net.run(0.1)
    net.lose = lambda *_: False
    make(net, a, 3)
    net.until(lambda: has(net, b, lost), within=1.0)
    assert sessions(b, net)["repaired"] == 1
    assert b.core.stats(net.now)["gossip"]["repaired"] == 1


def test_a_lost_tail_is_seen_at_the_next_heartbeat() -> None:
    net, (a, b) = settled("a", "b")
    net.lose = lambda _, __, payload: payload[1] == 7
    lost = make(net, a, 1)
    net.run(0.1)
    net.lose = lambda *_: False
    net.until(lambda: has(net, b, lost), within=1.6)


def test_what_is_only_late_is_not_fetched() -> None:
    net, host, peer = watched()
    for first in (1, 3, 2):
        peer.says(host, Push(peer.batch(first)))
        net.run(0.1)
    net.run(1)
    assert peer.hears(Fetch) == []


def test_without_faults_nothing_is_ever_fetched() -> None:
    net, hosts = settled("a", "b", "c")
    rng = random.Random(1)
    for number in range(500):
        make(net, hosts[number % 3], number)
        net.run(rng.random() * 0.01)
    net.run(3)
    assert not [payload for _, _, payload, _ in net.sent if payload[1] == 8]
    assert [sessions(host, net)["duplicate"] for host in hosts] == [0] * 3


def test_newest_gaps_are_asked_for_first_and_an_answer_counts() -> None:
    net, host, peer = watched()
    peer.says(host, Push(peer.batch(100)))
    net.run(0.5)
    (fetch,) = peer.hears(Fetch)
    assert fetch.ranges == ((1, 99),)
    peer.says(host, FetchReply(fetch.token, peer.batch(90, 10)))
    peer.says(host, FetchReply(fetch.token, None, FetchEnd.MORE))
    net.run(0.1)
    assert has(net, host, sid(95))
    assert peer.hears(Fetch)[1].ranges == ((1, 89),)


@pytest.mark.parametrize("lie", ["token", "range", "stream", "peer", "twice"])
def test_a_fill_that_nobody_asked_for_is_dropped(lie: str) -> None:
    net, host, peer = watched()
    other = Puppet(net, "y", "ams1", vip("y"))
    other.joins(host)
    peer.says(host, Push(peer.batch(10)))
    net.run(0.5)
    (fetch,) = peer.hears(Fetch)
    batch = peer.batch(5)
    if lie == "token":
        peer.says(host, FetchReply(fetch.token ^ 1, batch))
    elif lie == "range":
        peer.says(host, FetchReply(fetch.token, peer.batch(9, 2)))
    elif lie == "stream":
        peer.says(host, FetchReply(fetch.token, replace(batch, incarnation=6)))
    elif lie == "peer":
        other.says(host, FetchReply(fetch.token, batch))
    else:
        peer.says(host, FetchReply(fetch.token, None, FetchEnd.DONE))
        peer.says(host, FetchReply(fetch.token, batch))
    assert not has(net, host, sid(5))
    assert dropped(host, net) == {"unasked_fill": 1}


def test_a_fill_about_a_linked_origin_that_contradicts_it_is_dropped() -> None:
    net, host, peer = watched()
    origin = Puppet(net, "o", "ams1", vip("o"))
    origin.joins(host)
    origin.says(host, Push(origin.batch(10)))
    net.run(0.5)
    origin.hears(Fetch)
    began = net.now
    while not peer.hears(Fetch):  # the origin doesn't answer, so somebody else is asked
        assert net.now < began + 4
        peer.lives(host, 0.1, origin)
    fetch = peer.hears(Fetch)[-1]
    forged = origin.batch(5, terms=replace(origin.vips[0], colo="fra1"))
    peer.says(host, FetchReply(fetch.token, forged))
    assert not has(net, host, sid(5))
    assert dropped(host, net)["forged_terms"] == 1


def test_when_the_origin_is_dead_whoever_has_it_is_asked() -> None:
    net, (a, b, c) = settled("a", "b", "c")
    net.lose = lambda sender, receiver, _: (sender, receiver) == ("a", "c")
    made = make(net, a, 1)
    net.run(0.1)
    net.stop("a")
    net.lose = lambda *_: False
    assert has(net, b, made)
    net.until(lambda: has(net, c, made), within=10)


def test_who_claimed_to_have_it_is_asked_again_when_the_answer_was_lost() -> None:
    net, host, holder = watched()
    others = [Puppet(net, f"o{at}", "ams1", vip(f"o{at}")) for at in range(5)]
    for other in others:
        other.joins(host)
    holder.says(host, Vector(1, (Seen(StreamKey("gone", 7, "shop"), (1, 9)),)))
    while len(holder.hears(Fetch)) < 2:
        assert net.now < 1060
        holder.lives(host, 0.5, *others)
        for other in others:
            for fetch in other.hears(Fetch):
                other.says(host, FetchReply(fetch.token, None, FetchEnd.UNKNOWN))
    asked = sum(len(other.hears(Fetch)) for other in others)
    assert 1 <= asked <= 2, "anybody may have it too"


@pytest.mark.slow
def test_a_peer_that_never_answers_is_asked_ever_less_and_the_gap_is_given_up() -> None:
    net, host, peer = watched()
    peer.says(host, Push(peer.batch(10)))
    asked = []
    for _ in range(300):
        peer.lives(host, 0.5)
        asked.append(len(peer.hears(Fetch)))
    assert 5 <= asked[-1] <= net.limits.fetch_attempts
    assert asked[-1] == asked[-100]
    assert dropped(host, net)["gap_given_up"] == 1


def test_an_origin_that_lives_is_asked_again_and_again() -> None:
    net, host, peer = watched()
    for count in range(1, 60):
        peer.says(host, Heartbeat(count, 1, host.core.duties.vips.record.revision, (10,)))
        peer.lives(host, 1.0)
    asked = len(peer.hears(Fetch))
    assert asked > 15
    while len(peer.hears(Fetch)) == asked:
        peer.lives(host, 0.1)
    fetch = peer.hears(Fetch)[-1]
    peer.says(host, FetchReply(fetch.token, peer.batch(1, 10)))
    assert has(net, host, sid(7))


def test_an_absurd_claim_of_a_third_party_does_not_keep_a_living_origin_from_being_repaired() -> None:
    net, host, peer = watched()
    liar = Puppet(net, "liar", "ams1", vip("liar"))
    liar.joins(host)
    key = StreamKey("x", 7, "shop")
    for _ in range(20):
        host.core.duties.repair.claim_received(host.core.duties.members.get("liar"), key, (1, 2**53), net.now)  # type: ignore[arg-type]
        peer.lives(host, 0.2, liar)
    assert liar.hears(Fetch) == peer.hears(Fetch) == []
    peer.says(host, Push(peer.batch(2)))
    net.run(0.5)
    assert peer.hears(Fetch)[-1].ranges == ((1, 1),)


def test_gaps_and_fetches_are_bounded() -> None:
    net = Net(limits=Limits(gaps_max=10, fetches_max=4, fetches_per_peer=2))
    host = net.add("me", "ams1", vip("me"))
    net.run(3)
    peers = [Puppet(net, f"x{at}", "ams1", vip(f"x{at}")) for at in range(20)]
    for peer in peers:
        peer.joins(host)
        peer.says(host, Push(peer.batch(10)))
    net.run(0.5)
    repair = host.core.duties.repair
    assert repair.gaps == 10
    assert repair.fetches == 4
    assert dropped(host, net)["gaps_full"] >= 10


def test_gaps_that_a_member_invents_keep_nobody_elses_from_being_filled() -> None:
    net = Net(limits=Limits(gaps_max=10))
    host = net.add("me", "ams1", vip("me"))
    net.run(3)
    liar, honest = (Puppet(net, name, "ams1", vip(name)) for name in ("liar", "x"))
    for peer in (liar, honest):
        peer.joins(host)
    liar.says(host, Vector(1, tuple(Seen(StreamKey(f"ghost-{at}", 1, "shop"), (1, 9)) for at in range(20))))
    assert host.core.duties.repair.gaps == 10
    honest.says(host, Push(honest.batch(10)))
    net.until(lambda: bool(honest.hears(Fetch)), within=1)
    assert honest.hears(Fetch)[0].key.origin == "x"


def test_filtered_is_not_missing() -> None:
    net, (a, b) = settled("a", "b")
    for number in range(10):
        make(net, a, number, client_certificate=number % 2 == 0)
    net.run(5)
    assert sessions(b, net)["received"] == 5
    assert not [payload for _, _, payload, _ in net.sent if payload[1] == 8]


def test_a_vip_that_the_peer_may_not_have_is_no_gap() -> None:
    net = Net()
    a = net.add("a", "ams1", vip("a"), vip("a", name="blog"))
    b = net.add("b", "ams1", vip("b"), seeds=(a.address,))
    net.run(3)
    make(net, a, 1, "blog")
    net.run(5)
    assert not [payload for _, _, payload, _ in net.sent if payload[1] == 8]
    assert b.core.duties.repair.gaps == 0


def test_a_gap_that_was_given_up_is_taken_up_again_when_somebody_has_some_of_it() -> None:
    net, host, peer = watched()
    peer.says(host, Push(peer.batch(10)))
    peer.lives(host, 150)
    asked = len(peer.hears(Fetch))
    assert dropped(host, net)["gap_given_up"] == 1
    other = Puppet(net, "y", "ams1", vip("y"))
    other.joins(host)
    other.says(host, Vector(0, (Seen(StreamKey("x", 7, "shop"), (4, 5, 10, 10)),)))
    peer.lives(host, 1, other)
    assert len(peer.hears(Fetch)) == asked + 1
    peer.says(host, FetchReply(peer.hears(Fetch)[-1].token, None, FetchEnd.UNKNOWN))
    peer.lives(host, 2, other)
    assert [fetch.ranges for fetch in other.hears(Fetch)] == [((1, 9),)]


def test_gaps_that_nobody_can_fill_keep_nobody_from_the_ones_below() -> None:
    """One fetch has room for sixteen; here twice as many are missing, and what there is lies below the highest."""
    net, (a, b, c) = settled("a", "b", "c")
    odd = [sid(number) for number in range(1, 2 * 2 * FETCH_RANGES_MAX, 2)]
    few, many = odd[:8], odd[8:]
    net.lose = lambda _, to, payload: any(each in payload for each in {"b": odd, "c": many}.get(to[0], ()))
    for number in range(1, len(odd) * 2 + 1):
        make(net, a, number)
        net.run(0.005)  # each in a push of its own
    net.stop("a")
    net.lose = lambda *_: False
    net.run(30)
    for host in (b, c):
        assert all(has(net, host, each) for each in few)
        assert not any(has(net, host, each) for each in many)


class Refusing:
    """An operator's own policy that takes nothing that one node made."""

    def may_send(self, _session: Terms, _there: Terms) -> bool:
        return True

    def may_accept(self, session: Terms, _here: Terms) -> bool:
        return session.node != "a"


def test_a_peer_that_has_nothing_of_what_it_says_is_asked_a_few_times() -> None:
    net, host, peer = watched()
    asked = 0
    for beat in range(1, 60):
        peer.says(host, Heartbeat(beat, peer.revision, 1, (5,)))
        for _ in range(40):
            net.run(0.0025)
            for fetch in peer.hears(Fetch)[asked:]:
                asked += 1
                peer.says(host, FetchReply(fetch.token, None, FetchEnd.DONE))
    assert 0 < asked < 30


@pytest.mark.parametrize("count", [100, 1500])
def test_what_is_refused_when_it_comes_isnt_asked_for_without_pause(count: int) -> None:
    """A joiner's own policy takes nothing of a node that is gone, and of which another has all."""
    net, (a, b) = settled("a", "b")
    for number in range(count):
        make(net, a, number)
        if number % 50 == 49:
            net.run(0.05)
    net.run(2)
    net.stop("a")
    late = net.add("c", "ams1", seeds=("b:7946",))
    late.core.follow(Refusing(), net.now)
    late.core.set_vip(vip("c"), net.now)
    before = len(net.sent)
    net.run(30)
    given = sum(sessions for sender, to, _, sessions in net.sent[before:] if sender == "b" and to[0] == "c")
    assert given < 60 * count, "twice a second, as peers compare what they have"
    assert has(net, b, sid(1))
    assert not has(net, late, sid(1))
