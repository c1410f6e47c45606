"""Batches that come in: who may claim what, which numbers count, and what a hostile member can't do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcache.core.cache.entry import Entries
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER, Verdict
from meshcache.core.values.limits import Limits
from meshcache.core.wire.messages import Batch, Fetch, FetchEnd, FetchReply, Heartbeat, Hello, Push
from tests.core.net import DER, Host, Net, Puppet, dropped, has, make, mesh, sessions, sid, vip


def world(limits: Limits | None = None, reach: Any = REACH_EVERYWHERE, **settings: Any) -> tuple[Net, Host, Puppet]:
    net = Net(limits=limits)
    host = net.add("me", "ams1", vip("me", reach=reach, **settings))
    peer = Puppet(net, "x", "ams1", vip("x", reach=REACH_EVERYWHERE))
    peer.joins(host)
    return net, host, peer


def held(host: Host, net: Net, *numbers: int) -> list[bool]:
    return [host.core.holds("shop", sid(number)) for number in numbers]


def columns(batch: Batch, **changes: Any) -> Batch:
    return replace(batch, entries=batch.entries._replace(**changes))


def test_what_a_peer_pushes_resumes_here() -> None:
    net, host, peer = world()
    peer.says(host, Push(peer.batch(1, 3)))
    assert all(has(net, host, sid(number)) for number in (1, 2, 3))
    assert sessions(host, net)["received"] == 3


def test_a_batch_that_comes_again_changes_nothing() -> None:
    net, host, peer = world()
    for _ in range(3):
        peer.says(host, Push(peer.batch(1, 3)))
    assert sessions(host, net)["received"] == 3
    assert sessions(host, net)["duplicate"] == 6


def test_reordered_and_overlapping_batches_end_in_the_same() -> None:
    net, host, peer = world()
    for first, count in ((5, 3), (1, 2), (2, 4), (1, 7), (6, 2)):
        peer.says(host, Push(peer.batch(first, count)))
    assert held(host, net, *range(1, 9)) == [True] * 7 + [False]
    assert sessions(host, net)["received"] == 7


def test_what_was_evicted_has_been_seen_and_does_not_come_back() -> None:
    net, host, peer = world(sessions=2)
    for number in range(1, 6):
        peer.says(host, Push(peer.batch(number)))
    assert held(host, net, 1, 2, 3, 4, 5) == [False, False, False, True, True]
    peer.says(host, Push(peer.batch(1, 5)))
    assert held(host, net, 1, 2, 3) == [False] * 3


def test_the_first_of_two_sessions_with_one_id_stays() -> None:
    net, host, peer = world()
    other = Puppet(net, "y", "ams1", vip("y", reach=REACH_EVERYWHERE))
    other.joins(host)
    peer.says(host, Push(peer.batch(1)))
    forged = columns(other.batch(1), ders=[b"\x30poison"])
    other.says(host, Push(forged))
    found = host.core.lookup("shop", sid(1), net.now).session
    assert found is not None
    assert found.der == DER
    assert sessions(host, net)["refused"] == {"conflict": 1}


def test_a_members_own_sessions_cannot_replace_ours() -> None:
    net, host, peer = world()
    make(net, host, 1)
    peer.says(host, Push(columns(peer.batch(1), ders=[b"\x30poison"])))
    found = host.core.lookup("shop", sid(1), net.now).session
    assert found is not None
    assert found.der == DER


def origin(net: Net, name: str, colo: str, incarnation: int = 7) -> Puppet:
    return Puppet(net, name, colo, vip(name, colo, reach=REACH_EVERYWHERE), incarnation=incarnation)


def test_a_forged_origin_costs_its_sender_nothing_else() -> None:
    net, host, peer = world()
    peer.says(host, Push(origin(net, "z", "ams1").batch(1)))
    peer.says(host, Push(peer.batch(2)))
    assert held(host, net, 1, 2) == [False, True]


def test_what_the_gates_refuse_leaves_a_count_and_no_stream() -> None:
    net, host, peer = world(reach=REACH_SERVER)
    peer.says(host, Push(peer.batch(1, 3)))
    assert sessions(host, net)["refused"] == {Verdict.RECEIVER_REACH.value: 3}
    assert len(host.core.duties.streams) == 1
    island = Puppet(net, "island", "ams1", vip("island", name="blog"))
    island.joins(host)
    island.says(host, Push(island.batch(1, 2)))
    assert dropped(host, net) == {"refused": 2}


def test_the_importers_lifetime_is_the_limit() -> None:
    net, host, peer = world(lifetime_s=60)
    peer.says(host, Push(columns(peer.batch(1), remaining_s=[10_000])))
    net.now += 59
    assert has(net, host, sid(1))
    net.now += 2
    assert not has(net, host, sid(1))


@pytest.mark.parametrize(
    "nearly_over", [{"remaining_s": [30, 3600]}, {"elapsed_s": [0, 80]}], ids=["lifetime", "lineage"]
)
def test_what_may_be_over_before_a_new_peers_way_is_measured_is_fetched_and_not_lost(
    nearly_over: dict[str, list[int]],
) -> None:
    net, host, peer = world(lineage_s=100.0)
    batch = columns(peer.batch(1, 2), **nearly_over)
    peer.says(host, Push(batch))
    assert held(host, net, 1, 2) == [False, False]
    assert dropped(host, net) == {"in_doubt": 2}
    peer.answers(host)
    peer.says(host, Push(peer.batch(3)))
    while not peer.hears(Fetch) and net.now < 1060:
        peer.lives(host, 0.1)
    (asked,) = peer.hears(Fetch)
    assert asked.ranges == ((1, 2),)
    peer.says(host, FetchReply(asked.token, batch, FetchEnd.DONE))
    assert held(host, net, 1, 2, 3) == [True, True, True]


def test_what_is_over_in_any_case_is_no_reason_for_a_question() -> None:
    net, host, peer = world()
    peer.says(host, Push(columns(peer.batch(1, 2), remaining_s=[0, 3600])))
    assert held(host, net, 1, 2) == [False, True]
    assert dropped(host, net) == {}


def test_an_origins_shorter_life_is_kept() -> None:
    net, host, peer = world()
    peer.says(host, Push(columns(peer.batch(1), remaining_s=[5])))
    net.now += 6
    assert not has(net, host, sid(1))


def test_only_what_is_wrong_with_a_batch_is_left_out() -> None:
    net, host, peer = world(lineage_s=100)
    peer.answers(host)
    batch = peer.batch(1, 4)
    peer.says(host, Push(columns(batch, elapsed_s=[100, 101, 0, 0], remaining_s=[9, 9, 0, 9], certified=[0, 0, 0, 1])))
    assert held(host, net, 1, 2, 3, 4) == [True, False, False, False]
    assert sessions(host, net)["refused"] == {"lineage": 1, "lifetime": 1, "client_certificate": 1}


def test_sessions_with_client_certificates_enter_where_the_vip_says_so() -> None:
    net, host, peer = world(certified=True)
    peer.says(host, Push(columns(peer.batch(1), certified=[1])))
    found = host.core.lookup("shop", sid(1), net.now).session
    assert found is not None
    assert found.client_certificate


def test_what_was_found_unusable_is_not_taken_again() -> None:
    net, host, peer = world()
    peer.says(host, Push(peer.batch(1)))
    host.core.session_unusable("shop", sid(1), Verdict.DER, net.now)
    again = columns(peer.batch(2), ids=[sid(1)])
    peer.says(host, Push(again))
    assert held(host, net, 1) == [False]
    assert sessions(host, net)["refused"] == {"quarantined": 1}


def test_a_flood_is_cut_and_what_was_cut_stays_a_gap() -> None:
    net, host, peer = world(Limits(origin_sessions_per_s=10, origin_sessions_burst=100))
    for first in range(1, 640, 64):
        peer.says(host, Push(peer.batch(first, 64)))
    assert sessions(host, net)["received"] == 64
    assert dropped(host, net) == {"origin_quota": 9 * 64}
    assert not host.core.duties.streams.get(peer.batch(1).key).seen.covers(1, 65)  # type: ignore[union-attr]


def test_a_flood_of_empty_batches_is_cut_too() -> None:
    _net, host, peer = world(Limits(origin_sessions_per_s=10, origin_sessions_burst=100))
    for at in range(1, 200):
        empty = Batch(peer.vips[0], 7, (7, 1), 2 * at, 2 * at, Entries((), (), (), (), (), ()))
        peer.says(host, Push(empty))
    stream = host.core.duties.streams.get(peer.batch(1).key)
    assert stream is not None
    assert len(stream.seen) == 100


@pytest.mark.parametrize("trick", ["", "one id twice", "an id that is there"])
def test_a_member_that_floods_a_full_cache_pushes_out_its_own(trick: str) -> None:
    net, host, peer = world(sessions=100)
    quiet = origin(net, "quiet", "ams1")
    quiet.joins(host)
    quiet.says(host, Push(columns(quiet.batch(1, 40), ids=[b"q" * 31 + bytes([at]) for at in range(40)])))
    for first in range(1, 6400, 64):
        batch = peer.batch(first, 64)
        ids = list(batch.entries.ids)
        if trick:
            ids[0] = ids[1] if trick == "one id twice" else b"q" * 32
        peer.says(host, Push(columns(batch, ids=ids)))
    survivors = sum(host.core.holds("shop", b"q" * 31 + bytes([at])) for at in range(40))
    assert survivors == 40
    assert len(host.core.duties.cache) == 100


def test_newer_terms_on_a_batch_hold_for_what_came_before() -> None:
    net, host, relay = world()
    far = origin(net, "z", "fra1")
    relay.says(host, Push(far.batch(1)))
    tightened = replace(far.vips[0], reach=REACH_COLO)
    relay.says(host, Push(replace(far.batch(2), terms=tightened, age=(7, 2))))
    assert held(host, net, 1, 2) == [False, False]
    assert sessions(host, net)["recalled"] == 1
    relay.says(host, Push(replace(far.batch(3), terms=replace(far.vips[0], digest=b"\x09" * 32), age=(7, 3))))
    assert sessions(host, net)["refused"] == {"sender_reach": 1, "settings_differ": 1}


def test_the_lag_is_the_age_and_half_a_round_trip() -> None:
    net = Net(delay_s=0.02)
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    make(net, a, 1)
    net.run(1)
    lag = b.core.stats(net.now)["gossip"]["lag_ms"]
    assert 19 <= lag["p50"] <= 25
    assert a.core.stats(net.now)["gossip"]["lag_ms"]["p50"] is None


def test_a_hello_comes_before_anything_else() -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me"))
    peer = Puppet(net, "x", "ams1", vip("x"))
    peer.says(host, Push(peer.batch(1)))
    assert dropped(host, net) == {"unknown_sender": 1}
    peer.says(host, Hello("test", peer.record))
    peer.says(host, Push(peer.batch(1)))
    assert held(host, net, 1) == [True]


def ready(host: Host) -> None:
    """Let a host repair at once, which has nobody to catch up with."""
    host.core.duties.joining.say_joining(False)
    host.core.duties.repair.go_on()


def relayed(net: Net, name: str, host: Host) -> tuple[Puppet, Puppet]:
    """A relay of the host's colo, and an origin of another one that is linked to the host as well."""
    ready(host)
    relay, far = origin(net, "relay", "ams1"), origin(net, name, "fra1")
    relay.joins(host)
    far.joins(host)
    return relay, far


def empty(batch: Batch, first: int, last: int) -> Batch:
    return replace(batch, first=first, last=last, entries=Entries((), (), (), (), (), ()))


def test_an_answer_of_another_node_leaves_nothing_out_for_good_while_the_origin_lives() -> None:
    net, host, peer = world()
    ready(host)
    far = origin(net, "z", "ams1")
    far.joins(host)
    far.says(host, Heartbeat(1, far.revision, 1, (20,)))
    net.until(lambda: bool(far.hears(Fetch)), within=2)
    for _ in range(40):
        peer.lives(host, 0.5, far)
        for fetch in peer.hears(Fetch):
            peer.says(host, FetchReply(fetch.token, empty(far.batch(1), 1, 20)))
            peer.says(host, FetchReply(fetch.token, None, FetchEnd.DONE))
        if peer.hears(Fetch):
            break
    assert peer.hears(Fetch), "nobody else was asked: the test shows nothing"
    asked = len(far.hears(Fetch))
    while len(far.hears(Fetch)) == asked:
        peer.lives(host, 0.5, far)
        assert net.now < 1100, "the origin isn't asked again"
    far.says(host, FetchReply(far.hears(Fetch)[-1].token, far.batch(1, 20)))
    assert all(held(host, net, *range(1, 21)))


def test_what_another_files_under_an_origins_numbers_never_keeps_the_origins_own_away() -> None:
    net, host, _ = world()
    relay, far = relayed(net, "z", host)
    forged = far.batch(5, 3)
    relay.says(host, Push(columns(forged, ids=[sid(900 + at) for at in range(3)])))
    far.says(host, Push(far.batch(1, 8)))
    assert held(host, net, *range(1, 9)) == [True] * 8


@pytest.mark.parametrize("push", [True, False])
def test_what_an_origin_leaves_out_while_it_pushes_to_no_other_colo_isnt_seen(push: bool) -> None:
    net = Net()
    host = net.add("me", "ams1", vip("me", reach=REACH_EVERYWHERE))
    ready(host)
    far = Puppet(net, "x", "fra1", vip("x", "fra1", reach=REACH_EVERYWHERE, copies=1))
    far.joins(host)
    far.says(host, Push(far.batch(1)))
    far.says(host, Push(far.batch(5)))
    net.until(lambda: bool(far.hears(Fetch)), within=3)
    fetch = far.hears(Fetch)[-1]
    terms = replace(far.vips[0], push=push)
    left_out = replace(
        far.batch(2), terms=terms, age=(far.incarnation, 2), last=4, entries=Entries([], [], [], [], [], [])
    )
    far.says(host, FetchReply(fetch.token, left_out))
    stream = host.core.duties.cache.streams.get(far.batch(1).key)
    assert stream is not None
    assert stream.seen.covers(2, 4) == push


def test_what_a_slow_link_brings_after_a_withdraw_is_fetched_with_its_age() -> None:
    """A link on which much waits is never silent: nothing but an answer says how long it takes by now."""
    net, host, peer = world()
    peer.answers(host)
    peer.lives(host, 3)
    late = Push(peer.batch(1))  # on its way from here on
    peer.lives(host, 1)
    host.core.withdraw(net.now, vip="shop")
    peer.lives(host, 5)
    peer.says(host, late)
    assert held(host, net, 1) == [False]
    assert dropped(host, net) == {"in_doubt": 1}
    peer.answers(host)
    peer.says(host, Push(peer.batch(2)))
    assert dropped(host, net) == {"in_doubt": 2}, "it may have been under way for as long as the answer"
    peer.lives(host, 3)
    peer.says(host, Push(peer.batch(3)))
    while not peer.hears(Fetch) and net.now < 1060:
        peer.lives(host, 0.1)
    (asked,) = peer.hears(Fetch)
    assert asked.ranges == ((1, 2),)
    peer.says(host, FetchReply(asked.token, columns(peer.batch(1, 2), elapsed_s=[10, 4]), FetchEnd.DONE))
    assert held(host, net, 1, 2, 3) == [False, True, True]
    assert sessions(host, net)["refused"] == {"withdrawn": 1}
