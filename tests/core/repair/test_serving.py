"""Answers to fetches: what is here, exactly what was seen, to whom it may go, and no faster than the limits."""

from __future__ import annotations

from itertools import pairwise

from meshcache.core.policy.gates import REACH_EVERYWHERE, REACH_SERVER
from meshcache.core.values.limits import Limits
from meshcache.core.values.session import StreamKey
from meshcache.core.wire.messages import FETCH_SESSIONS_MAX, Fetch, FetchEnd, FetchReply, Push
from tests.core.net import Host, Net, Puppet, make, sid, vip

KEY = StreamKey("me", 1, "shop")


def world(made: int = 10, limits: Limits | None = None, **settings: bool) -> tuple[Net, Host, Puppet]:
    net = Net(limits=limits)
    host = net.add("me", "ams1", vip("me", sessions=50_000, **settings))
    for number in range(1, made + 1):
        make(net, host, number)
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.joins(host)
    return net, host, peer


def fetch(
    host: Host, peer: Puppet, *ranges: tuple[int, int], key: StreamKey = KEY, snapshot: bool = False
) -> list[FetchReply]:
    before = len(peer.hears(FetchReply))
    peer.says(host, Fetch(1, key, ranges, snapshot))
    return peer.hears(FetchReply)[before:]


def given(fills: list[FetchReply]) -> list[int]:
    return [seq for fill in fills if fill.batch for seq in fill.batch.entries.seqs]


def covered(fills: list[FetchReply]) -> list[tuple[int, int]]:
    return [(fill.batch.first, fill.batch.last) for fill in fills if fill.batch]


def test_what_was_asked_for_is_given_and_the_end_is_told() -> None:
    _, host, peer = world()
    fills = fetch(host, peer, (3, 5))
    assert given(fills) == [3, 4, 5]
    assert covered(fills) == [(3, 5)]
    assert fills[-1].end is FetchEnd.DONE


def test_the_newest_come_first() -> None:
    _, host, peer = world(300)
    fills = fetch(host, peer, (1, 100), (200, 300))
    firsts = [first for first, _ in covered(fills)]
    assert firsts == sorted(firsts, reverse=True)
    assert sorted(given(fills)) == [*range(1, 101), *range(200, 301)]


def test_nothing_is_covered_beyond_what_was_made() -> None:
    _, host, peer = world(10)
    assert covered(fetch(host, peer, (8, 1000))) == [(8, 10)]


def test_of_others_streams_only_what_was_seen_is_covered() -> None:
    net, host, _ = world(0)
    origin = Puppet(net, "o", "ams1", vip("o"))
    origin.joins(host)
    for first in (1, 5):
        origin.says(host, Push(origin.batch(first, 2)))
    asker = Puppet(net, "y", "ams1", vip("y"))
    asker.joins(host)
    assert covered(fetch(host, asker, (1, 100), key=StreamKey("o", 7, "shop"))) == [(5, 6), (1, 2)]


def test_what_was_evicted_is_covered_and_not_given() -> None:
    net, host, peer = world(0)
    host.core.set_vip(vip("me", sessions=3), net.now)
    for number in range(1, 11):
        make(net, host, number)
    fills = fetch(host, peer, (1, 10))
    assert given(fills) == [8, 9, 10]
    assert covered(fills) == [(1, 10)]


def test_a_long_answer_is_cut_and_says_so_and_its_parts_join() -> None:
    _, host, peer = world(3000)
    fills = fetch(host, peer, (1, 3000))
    assert len(given(fills)) <= FETCH_SESSIONS_MAX
    assert fills[-1].end is FetchEnd.MORE
    ranges = covered(fills)
    assert ranges[0][1] == 3000
    assert all(later[1] == earlier[0] - 1 for earlier, later in pairwise(ranges))


def test_who_may_not_have_a_stream_learns_nothing_of_it() -> None:
    net, host, _ = world()
    shy = Puppet(net, "shy", "ams1", vip("shy", reach=REACH_SERVER))
    far = Puppet(net, "far", "fra1", vip("far", "fra1", reach=REACH_EVERYWHERE))
    other = Puppet(net, "other", "ams1", vip("other", name="blog"))
    for peer in (shy, far, other):
        peer.joins(host)
        (fill,) = fetch(host, peer, (1, 10))
        assert fill.batch is None
        assert fill.end is FetchEnd.UNKNOWN


def test_a_stream_that_is_not_here_is_unknown() -> None:
    _, host, peer = world()
    assert [fill.end for fill in fetch(host, peer, (1, 2), key=StreamKey("o", 1, "shop"))] == [FetchEnd.UNKNOWN]


def test_what_must_stay_is_never_given() -> None:
    net, host, peer = world(0)
    host.core.session_created("shop", sid(1), b"der", net.now, client_certificate=True)
    make(net, host, 2)
    assert given(fetch(host, peer, (1, 10))) == [1]


def test_sessions_with_client_certificates_stop_when_the_vip_stops_exporting_them() -> None:
    net, host, peer = world(0, certified=True)
    host.core.session_created("shop", sid(1), b"der", net.now, client_certificate=True)
    make(net, host, 2)
    assert given(fetch(host, peer, (1, 10))) == [1, 2]
    host.core.set_vip(vip("me"), net.now)
    assert given(fetch(host, peer, (1, 10))) == [2]


def test_the_expired_are_covered_and_not_given() -> None:
    net, host, peer = world(0)
    make(net, host, 1, lifetime_s=5.0)
    make(net, host, 2)
    net.now += 5
    fills = fetch(host, peer, (1, 2))
    assert given(fills) == [2]
    assert covered(fills) == [(1, 2)]


def test_repair_has_a_rate() -> None:
    net, host, peer = world(2000, Limits(fill_sessions_per_s=1000, fill_sessions_burst=1024))
    assert fetch(host, peer, (1, 2000))[-1].end is FetchEnd.MORE
    assert [fill.end for fill in fetch(host, peer, (1, 2000))] == [FetchEnd.BUSY]
    net.run(1.1)
    assert fetch(host, peer, (1, 2000))[-1].end is FetchEnd.MORE


def test_there_is_one_place_for_a_joiner_and_it_is_lost_by_silence() -> None:
    net, host, peer = world(10)
    other = Puppet(net, "y", "ams1", vip("y"))
    other.joins(host)
    assert fetch(host, peer, (1, 2), snapshot=True)[-1].end is FetchEnd.DONE
    assert fetch(host, other, (1, 2), snapshot=True)[-1].end is FetchEnd.BUSY
    net.now += net.limits.snapshot_lease_s + 0.1
    assert fetch(host, other, (1, 2), snapshot=True)[-1].end is FetchEnd.DONE


def test_a_peer_at_whose_address_another_may_be_is_given_nothing_until_it_has_answered() -> None:
    net, host, peer = world()
    other = Puppet(net, "y", "ams1", vip("y"))
    other.address = peer.address
    other.joins(host)
    assert [fill.end for fill in fetch(host, peer, (1, 10))] == [FetchEnd.BUSY]
    peer.answers(host)
    assert given(fetch(host, peer, (1, 10))) == list(range(1, 11))
