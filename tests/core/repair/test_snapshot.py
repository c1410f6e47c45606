"""Catching up after a start: one source, newest first, one joiner at a time, and the next source when one is gone."""

from __future__ import annotations

import pytest

from meshcache.core.values.events import SnapshotFinished
from meshcache.core.values.limits import Limits
from meshcache.core.values.ranges import Ranges
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import (
    Fetch,
    FetchEnd,
    FetchReply,
    Hello,
    Push,
    Seen,
    SnapshotAsk,
    SnapshotOffer,
    Vector,
)
from tests.core.net import Host, Net, Puppet, has, make, mesh, sid, vip


def filled(count: int, names: str = "ab", limits: Limits | None = None) -> tuple[Net, list[Host]]:
    net = Net(limits=limits)
    hosts = mesh(net, list(names), sessions=50_000)
    net.run(3)
    for number in range(count):
        make(net, hosts[number % len(hosts)], number)
        if number % 64 == 0:
            net.run(0.002)
    net.run(3)
    return net, hosts


def size(host: Host) -> int:
    return len(host.core.duties.cache)


def finished(host: Host) -> list[SnapshotFinished]:
    return host.happened(SnapshotFinished)


def test_a_joiner_has_everything_within_seconds() -> None:
    net, _ = filled(5000)
    (joiner,) = mesh(net, ["c"], sessions=50_000)
    net.until(lambda: size(joiner) == 5000, within=2)
    net.run(1)
    assert [(event.sessions, event.complete) for event in finished(joiner)] == [(5000, True)]


@pytest.mark.slow
def test_a_joiner_asks_one_source_only() -> None:
    net, _ = filled(3000, "abcde")
    mesh(net, ["z"], sessions=50_000)
    net.sent.clear()
    net.run(2)
    asked = {address for sender, address, payload, _ in net.sent if sender == "z" and payload[1] in (8, 12)}
    assert len(asked) == 1


def test_the_newest_arrive_first() -> None:
    net, (a, _) = filled(4000, limits=Limits(snapshot_sessions_per_s=1000, fill_sessions_burst=1024))
    (joiner,) = mesh(net, ["c"], sessions=50_000)
    net.until(lambda: size(joiner) >= 900, within=2)
    assert size(joiner) < 4000
    newest = [joiner.core.holds("shop", sid(number)) for number in range(3600, 4000)]
    oldest = [joiner.core.holds("shop", sid(number)) for number in range(500)]
    assert sum(newest) == 400
    assert sum(oldest) == 0
    assert a.up


def test_a_snapshot_has_a_rate() -> None:
    net, _ = filled(4000, limits=Limits(snapshot_sessions_per_s=1000, fill_sessions_burst=1024))
    (joiner,) = mesh(net, ["c"], sessions=50_000)
    took = net.until(lambda: size(joiner) == 4000, within=8)
    assert took > 2.5


def test_a_joiner_serves_and_publishes_meanwhile() -> None:
    net, (a, b) = filled(4000, limits=Limits(snapshot_sessions_per_s=500, fill_sessions_burst=1024))
    (joiner,) = mesh(net, ["c"], sessions=50_000)
    net.run(0.5)
    theirs, ours = make(net, a, 9001), make(net, joiner, 9002)
    net.run(0.5)
    assert not finished(joiner)
    assert has(net, joiner, theirs)
    assert has(net, b, ours)


def test_when_the_source_dies_another_goes_on_where_it_stopped() -> None:
    net, hosts = filled(4000, "abc", limits=Limits(snapshot_sessions_per_s=1000, fill_sessions_burst=1024))
    (joiner,) = mesh(net, ["z"], sessions=50_000)
    net.until(lambda: size(joiner) > 1000, within=3)
    (source,) = {address[0] for sender, address, payload, _ in net.sent if sender == "z" and payload[1] == 8}
    net.stop(source)
    net.until(lambda: size(joiner) == 4000, within=20)
    net.run(2)
    (event,) = finished(joiner)
    assert event.complete
    assert event.source != source
    assert joiner.core.stats(net.now)["vips"]["shop"]["sessions"]["duplicate"] < 1100
    assert len(hosts) == 3


@pytest.mark.slow
@pytest.mark.parametrize("how", ["says goodbye", "falls silent"])
def test_a_joiner_whose_source_leaves_goes_on_with_another_at_once(how: str) -> None:
    net, _ = filled(4000, "abc", limits=Limits(snapshot_sessions_per_s=1000, fill_sessions_burst=512))
    (joiner,) = mesh(net, ["z"], sessions=50_000)
    net.until(lambda: 600 <= size(joiner) < 4000, within=3)
    source = joiner.core.catch_up.source
    leaving = net.hosts[source]
    if how == "says goodbye":
        leaving.core.leave(net.now)
        net.run(0)
    net.stop(source)
    if how == "falls silent":
        net.until(lambda: joiner.core.catch_up.source != source, within=5)
    else:
        net.run(0.01)
    assert joiner.core.catch_up.source in set("abc") - {source}
    net.until(lambda: size(joiner) == 4000, within=15)


def test_a_joiner_asks_as_soon_as_it_has_met_somebody() -> None:
    net, _ = filled(500)
    (joiner,) = mesh(net, ["c"], sessions=50_000)
    net.until(lambda: joiner.core.catch_up.done, within=0.4)
    assert size(joiner) == 500


def test_fifty_joiners_at_once_are_all_served_and_never_two_by_one_source_at_once() -> None:
    net, _ = filled(500)
    names = [f"j{at}" for at in range(50)]
    joiners = mesh(net, names)
    net.until(lambda: all(size(joiner) == 500 for joiner in joiners), within=20)
    places: dict[str, str] = {}
    for sender, address, payload, _ in net.sent:
        receiver = address.removesuffix(":7946")
        if payload[1] == 12 and places.get(receiver) == sender:
            del places[receiver]  # done
        elif payload[1] == 13 and b"ay\xf5" in payload:  # granted
            assert places.setdefault(sender, receiver) == receiver


def test_the_first_of_a_mesh_wait_for_nobody_for_long() -> None:
    net = Net()
    hosts = mesh(net, ["a", "b", "c"])
    net.run(2.6)
    assert not any(host.core.duties.joining.joining for host in hosts)
    assert not any(finished(host) for host in hosts)


def test_a_vip_that_is_served_later_is_caught_up_with_at_once() -> None:
    """A program attaches its contexts after the start: what a source offered before was for the VIPs of then."""
    net, _ = filled(2000)
    late = net.add("late", "ams1", seeds=("a:7946",))
    net.run(5)
    assert late.core.catch_up.done
    late.core.set_vip(vip("late", sessions=50_000), net.now)
    assert not late.core.catch_up.done
    net.until(lambda: late.core.catch_up.done, within=1)
    assert size(late) == 2000
    assert late.core.catch_up.sessions == 2000


def test_a_node_that_serves_nothing_yet_asks_nobody() -> None:
    net, _ = filled(100)
    late = net.add("late", "ams1", seeds=("a:7946",))
    net.run(1)
    assert not late.core.catch_up.done
    assert not [payload for sender, _, payload, _ in net.sent if sender == "late" and payload[1] == 12]


def test_a_joiner_hears_at_once_that_another_has_become_a_source() -> None:
    net = Net()
    (first,) = mesh(net, ["a"])
    for number in range(50):
        make(net, first, number)
    net.run(0.5)
    (second,) = mesh(net, ["b"])
    net.until(lambda: second.core.catch_up.done, within=2.5)
    assert second.core.catch_up == (True, "a", 50)


def test_streams_with_many_holes_are_offered_in_messages_that_a_joiner_takes() -> None:
    net, host, peer = joiner_and_source()
    host.core.duties.joining.say_joining(False)
    for at in range(512):
        terms = vip(f"gone-{at}").terms
        stream = host.core.duties.streams.open(terms, StreamKey(terms.node, 1, "shop"), "shop", net.now)
        assert stream is not None
        stream.seen = Ranges((low, low) for low in range(2**33, 2**33 + 64, 2))
    peer.says(host, SnapshotAsk())
    peer.says(host, Vector(2**32 - 1, (), wants_reply=True))
    offers, vectors = peer.hears(SnapshotOffer), peer.hears(Vector)
    assert [offer.more for offer in offers] == [True] * (len(offers) - 1) + [False]
    for told in (offers, vectors):
        assert {len(seen.ranges) for each in told for seen in each.seen} == {64}
        assert len({seen.key for each in told for seen in each.seen}) == 512


def joiner_and_source() -> tuple[Net, Host, Puppet]:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    source = Puppet(net, "x", "ams1", vip("x"))
    source.joins(host)
    net.run(0.1)
    return net, host, source


def test_one_that_is_refused_asks_again() -> None:
    net, host, source = joiner_and_source()
    assert source.hears(SnapshotAsk) == [SnapshotAsk()]
    source.says(host, SnapshotOffer(False))
    source.lives(host, 1)
    assert len(source.hears(SnapshotAsk)) >= 2
    assert net.now < 1002


def test_one_that_is_always_refused_is_ready_in_the_end() -> None:
    net, host, source = joiner_and_source()
    for _ in range(40):
        source.says(host, SnapshotOffer(False))
        source.lives(host, 0.5)
    assert not host.core.duties.joining.joining
    assert net.now > 1015


def test_gaps_wait_until_the_snapshot_is_over() -> None:
    _, host, source = joiner_and_source()
    source.says(host, Push(source.batch(100)))
    source.says(host, SnapshotOffer(True, (Seen(StreamKey("x", 7, "shop"), (1, 100)),)))
    (fetch,) = source.hears(Fetch)
    assert fetch.snapshot
    assert fetch.ranges == ((1, 99),)
    source.lives(host, 0.8)
    assert len(source.hears(Fetch)) == 1
    source.says(host, FetchReply(fetch.token, source.batch(90, 10)))
    source.says(host, FetchReply(fetch.token, None, FetchEnd.DONE))
    source.lives(host, 1)
    assert SnapshotAsk(done=True) in source.hears(SnapshotAsk)
    assert [later.snapshot for later in source.hears(Fetch)[1:]] in ([False], [False, False])


def test_an_offer_that_nobody_asked_for_is_given_back() -> None:
    net, host, _ = joiner_and_source()
    other = Puppet(net, "y", "ams1", vip("y"))
    other.joins(host)
    other.says(host, SnapshotOffer(True, (Seen(StreamKey("y", 7, "shop"), (1, 2**53)),)))
    assert other.hears(SnapshotAsk) == [SnapshotAsk(done=True)]
    assert other.hears(Fetch) == []


@pytest.mark.slow
def test_a_source_that_offers_the_absurd_is_asked_a_bounded_number_of_times() -> None:
    _, host, source = joiner_and_source()
    absurd = tuple(Seen(StreamKey(f"o{at}", 1, "shop"), (1, 2**53)) for at in range(500))
    for _ in range(100):
        source.says(host, SnapshotOffer(True, absurd, more=True))
    source.says(host, SnapshotOffer(True))
    assert len(source.hears(Fetch)) <= 4


def test_who_is_joining_is_no_source() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.says(host, Hello("test", peer.record, joining=True))
    peer.says(host, SnapshotAsk())
    assert [offer.granted for offer in peer.hears(SnapshotOffer)] == [False]
    peer.lives(host, 3)
    peer.says(host, SnapshotAsk())
    assert [offer.granted for offer in peer.hears(SnapshotOffer)] == [False, True]
