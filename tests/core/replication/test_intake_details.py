"""What a batch leaves behind, to the last number: found by changing each line of intake a little."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcache.core.cache.entry import Entries
from meshcache.core.cache.streams import Stream
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER
from meshcache.core.wire.messages import Batch, Fetch, FetchEnd, FetchReply, Heartbeat, Push
from tests.core.net import Host, Net, Puppet, dropped, has, make, sessions, sid, vip


def world(*names: str, **settings: Any) -> tuple[Net, Host, Puppet, Puppet]:
    """A host in ams1, a relay beside it whose way is measured, and an origin in fra1 that isn't linked."""
    net = Net()
    vips = (vip("me", name=name, reach=REACH_EVERYWHERE, **settings) for name in ("shop", *names))
    host = net.add("me", "ams1", *vips)
    host.core.duties.joining.say_joining(False)
    host.core.duties.repair.go_on()
    relay = Puppet(net, "relay", "ams1", vip("relay", reach=REACH_EVERYWHERE))
    relay.joins(host)
    relay.answers(host)
    return net, host, relay, Puppet(net, "far", "fra1", vip("far", "fra1", reach=REACH_EVERYWHERE))


def held(host: Host, *numbers: int, name: str = "shop") -> list[bool]:
    return [host.core.holds(name, sid(number)) for number in numbers]


def columns(batch: Batch, **changes: Any) -> Batch:
    return replace(batch, entries=batch.entries._replace(**changes))


def stream_of(host: Host, batch: Batch) -> Stream:
    found = host.core.duties.streams.get(batch.key)
    assert found is not None
    return found


def test_what_comes_late_is_judged_by_the_newest_terms_of_its_stream_and_does_not_make_them_older() -> None:
    _, host, relay, far = world()
    relay.says(host, Push(far.batch(1, age=(7, 2))))
    relay.says(host, Push(far.batch(2, age=(7, 1))))
    assert held(host, 1, 2) == [True, True]
    assert stream_of(host, far.batch(1)).age == (7, 2)


def test_what_its_own_terms_forbid_stays_out_though_newer_ones_would_allow_it() -> None:
    net, host, relay, far = world()
    relay.says(host, Push(far.batch(1, age=(7, 2))))
    relay.says(host, Push(far.batch(2, age=(7, 1), terms=replace(far.vips[0], reach=REACH_COLO))))
    assert held(host, 1, 2) == [True, False]
    assert sessions(host, net)["refused"] == {"sender_reach": 1}


def test_what_was_forbidden_is_not_taken_under_the_terms_of_before() -> None:
    net, host, relay, far = world()
    relay.says(host, Push(far.batch(1)))
    relay.says(host, Push(far.batch(2, age=(7, 2), terms=replace(far.vips[0], reach=REACH_COLO))))
    relay.says(host, Push(far.batch(3, age=(7, 1))))
    assert held(host, 1, 2, 3) == [False] * 3
    assert sessions(host, net)["refused"] == {"sender_reach": 2}
    assert host.core.duties.recall.lately("shop", net.now) == 1


def test_a_session_of_a_former_group_is_not_filed_where_its_vip_is_now() -> None:
    """A VIP moved from one group to another; what was made before comes late, by a relay."""
    net, host, relay, far = world("blog")
    moved = replace(far.vips[0], group="blog")
    relay.says(host, Push(far.batch(1, age=(7, 2), terms=moved)))
    assert held(host, 1, name="blog") == [True]
    relay.says(host, Push(far.batch(2, age=(7, 1))))
    assert held(host, 2) + held(host, 2, name="blog") == [False, False]
    assert sessions(host, net)["refused"] == {"settings_differ": 1}


def test_a_last_second_and_the_end_of_a_lineage_are_still_within() -> None:
    net, host, relay, _ = world(lineage_s=100.0)
    batch = columns(relay.batch(1, 6), remaining_s=[1, 0, 0, 9, 9, 9], elapsed_s=[0, 0, 0, 100, 101, 101])
    relay.says(host, Push(batch))
    assert held(host, *range(1, 7)) == [True, False, False, True, False, False]
    assert sessions(host, net)["refused"] == {"lifetime": 2, "lineage": 2}


def test_refusals_add_up_over_batches() -> None:
    net, host, relay, far = world()
    forbidden = replace(far.vips[0], reach=REACH_COLO)
    for first in (1, 2):
        relay.says(host, Push(far.batch(first, age=(7, 2), terms=forbidden)))
    relay.says(host, Push(relay.batch(1, 2)))
    other = Puppet(net, "other", "ams1", vip("other", reach=REACH_EVERYWHERE))
    other.joins(host)
    for first in (1, 2):
        other.says(host, Push(columns(other.batch(first), ders=[b"\x30another"])))
    assert sessions(host, net)["refused"] == {"sender_reach": 2, "conflict": 2}


def test_one_id_under_two_numbers_of_a_stream_is_a_duplicate() -> None:
    net, host, relay, _ = world()
    relay.says(host, Push(relay.batch(1, 2)))
    for first in (3, 5):
        relay.says(host, Push(columns(relay.batch(first, 2), ids=[sid(1), sid(2)])))
    assert sessions(host, net)["duplicate"] == 4


def test_repaired_sessions_add_up_over_answers() -> None:
    net, host, relay, _ = world()
    for newest in (2, 4):
        relay.says(host, Heartbeat(newest, relay.revision, 1, (newest,)))
        asked = len(relay.hears(Fetch))
        while len(relay.hears(Fetch)) == asked:
            relay.lives(host, 0.1)
            assert net.now < 1060
        relay.says(host, FetchReply(relay.hears(Fetch)[-1].token, relay.batch(newest - 1, 2), FetchEnd.DONE))
    relay.says(host, Push(relay.batch(5, 3)))  # which count as received, and no more
    assert sessions(host, net)["repaired"] == 4
    assert host.core.stats(net.now)["gossip"]["repaired"] == 4


def test_a_number_that_a_relay_left_out_is_not_seen() -> None:
    _, host, relay, far = world()
    batch = far.batch(1, 3)
    relay.says(host, Push(replace(batch, entries=batch.entries.chosen([0, 2]))))
    relay.says(host, Push(far.batch(2)))
    assert held(host, 1, 2, 3) == [True] * 3


def test_what_overtook_others_is_no_duplicate_and_hides_none_of_them() -> None:
    net, host, relay, far = world()
    for first in (5, 3, 1):
        relay.says(host, Push(far.batch(first, 2)))
    assert held(host, *range(1, 7)) == [True] * 6
    assert sessions(host, net)["duplicate"] == 0


def test_numbers_that_the_origin_kept_from_us_are_seen_also_when_that_comes_late() -> None:
    _, host, relay, _ = world()
    relay.says(host, Push(relay.batch(5)))
    relay.says(host, Push(replace(relay.batch(1), last=4, entries=Entries((), (), (), (), (), ()))))
    assert stream_of(host, relay.batch(1)).seen.covers(1, 5)


def test_what_only_a_relay_spoke_of_is_taken_from_the_origin_and_from_no_other_relay() -> None:
    net, host, relay, far = world()
    relay.says(host, Push(columns(far.batch(5, 3), ids=[sid(900 + at) for at in range(3)])))
    relay.says(host, Push(columns(far.batch(5, 3), ids=[sid(800 + at) for at in range(3)])))
    assert held(host, 800, 801, 802) == [False] * 3
    assert sessions(host, net)["duplicate"] == 3
    far.joins(host)
    far.answers(host)
    far.says(host, Push(far.batch(5, 3)))
    assert held(host, 5, 6, 7) == [True] * 3


def test_what_is_taken_without_another_word_is_the_origins_and_whole() -> None:
    """So it is for what this node had in its last life, which hands it over."""
    net, host, _, far = world()
    batch = far.batch(1, 3)
    assert host.core.duties.intake.take(replace(batch, entries=batch.entries.chosen([0])), net.now)
    stream = stream_of(host, batch)
    assert stream.seen.covers(1, 3)
    assert stream.hearsay is None


def test_only_what_is_handed_over_skips_the_reach_that_its_life_had() -> None:
    net, host, _, far = world()
    own = host.core.duties.vips.record
    terms = replace(own.vips[0], reach=REACH_SERVER)
    former = far.batch(1, terms=terms, incarnation=own.incarnation - 1, age=(own.incarnation - 1, 1))
    assert host.core.duties.intake.take(former, net.now) is None
    assert host.core.duties.intake.take(former, net.now, inherited=True)
    assert held(host, 1) == [True]


def test_a_table_full_of_streams_with_sessions_takes_no_further_one_and_counts_what_it_left() -> None:
    net, host, _, far = world()
    host.core.duties.streams.streams_max = full = 8  # instead of 16,384, which take seconds to make
    for life in range(1, full):
        one = far.batch(1, incarnation=life, age=(life, 1))
        assert host.core.duties.intake.take(columns(one, ids=[sid(life)]), net.now)
    over = far.batch(1, 3, incarnation=full, age=(full, 1))
    assert host.core.duties.intake.take(columns(over, ids=[sid(100 + at) for at in range(3)]), net.now) is None
    assert dropped(host, net) == {"streams_full": 3}
    assert has(net, host, make(net, host, 999)), "which costs its own sessions nothing"
    host.core.handle_timer(net.now + 3600)


def test_the_stream_that_was_silent_longest_makes_room() -> None:
    net, host, _, far = world()
    host.core.duties.streams.streams_max = 4
    lives = [far.batch(1, incarnation=life, age=(life, 1)) for life in (1, 2, 3, 4)]
    for at, one in enumerate(lives[:3]):
        host.core.duties.intake.take(replace(one, entries=Entries((), (), (), (), (), ())), net.now + at)
    host.core.duties.intake.take(
        replace(lives[0], first=2, last=2, entries=Entries((), (), (), (), (), ())), net.now + 9
    )
    host.core.duties.intake.take(lives[3], net.now + 10)
    assert [host.core.duties.streams.get(one.key) is not None for one in lives] == [True, False, True, True]


@pytest.mark.parametrize("colo", ["ams1", "fra1"])
def test_the_lag_of_a_push_is_counted_where_it_came_from(colo: str) -> None:
    net, host, _, _ = world()
    peer = Puppet(net, "x", colo, vip("x", colo, reach=REACH_EVERYWHERE))
    peer.joins(host)
    assert next(each["rtt_ms"] for each in host.core.peers(net.now) if each["name"] == "x") is None
    peer.says(host, Push(peer.batch(1), age_us=5_000))
    lag = host.core.stats(net.now)["gossip"]["lag_ms"]
    where, elsewhere = ("intra", "inter") if colo == "ams1" else ("inter", "intra")
    assert (lag[where]["count"], lag[elsewhere]["count"]) == (1, 0)
    assert 4.9 < lag[where]["sum"] < 5.1


def test_what_a_tier_kept_is_counted_for_itself_and_takes_the_place_of_what_nobody_used_for_longest() -> None:
    """A client asks for it now, so it isn't what a flood brings, which pushes out its own."""
    net, host, relay, _ = world(sessions=10)
    quiet = Puppet(net, "quiet", "ams1", vip("quiet", reach=REACH_EVERYWHERE))
    quiet.joins(host)
    quiet.answers(host)
    quiet.says(host, Push(columns(quiet.batch(1, 3), ids=[sid(900 + at) for at in range(3)])))
    relay.says(host, Push(relay.batch(1, 7)))
    for first in (8, 9):
        assert host.core.duties.intake.take(relay.batch(first), net.now, restored=True)
    assert held(host, 900, 901, 902, *range(1, 10)) == [False, False, True, *[True] * 9]
    told = sessions(host, net)
    assert (told["restored"], told["received"], told["evicted"]) == (2, 10, 2)


def test_a_share_that_comes_late_covers_nothing_where_all_are_to_hold_all_by_now() -> None:
    _, host, relay, _ = world()
    few, newer = replace(relay.vips[0], copies=2), (relay.incarnation, 2)
    late = relay.batch(1, 9, age=(relay.incarnation, 1), terms=few)
    late = replace(late, entries=late.entries.chosen([0, 8]))
    relay.says(host, Push(relay.batch(10, age=newer)))
    relay.revision = 2
    relay.joins(host)
    relay.says(host, Push(late))
    assert held(host, 1, 5, 9, 10) == [True, False, True, True]
    assert list(stream_of(host, late).seen) == [(1, 1), (9, 10)]


def told(relay: Puppet, host: Host, batch: Batch, *ranges: tuple[int, int]) -> list[tuple[int, int, list[int]]]:
    """Fetch ranges from a host: what is covered, and which numbers are there."""
    before = len(relay.hears(FetchReply))
    relay.says(host, Fetch(before, batch.key, ranges))
    replies = relay.hears(FetchReply)[before:]
    assert replies[-1].end is FetchEnd.DONE
    parts = [reply.batch for reply in replies if reply.batch is not None]
    return [(part.first, part.last, list(part.entries.seqs)) for part in parts]


def test_a_relay_takes_no_place_of_what_is_here_with_numbers_that_a_linked_origin_cant_have_made() -> None:
    net, host, relay, far = world()
    far.joins(host)
    relay.says(host, Push(far.batch(1, 3)))
    far.says(host, Heartbeat(1, far.revision, 1, (3,)))
    for beyond in (2**40, 3 + 65_537):
        relay.says(host, Push(far.batch(beyond)))
        assert [seq for seq, _ in stream_of(host, far.batch(1)).entries.between(1, 2**41)] == [1, 2, 3]
    assert dropped(host, net) == {"far_beyond": 2}
    assert told(relay, host, far.batch(1), (1, 3)) == [(1, 3, [1, 2, 3])]


def test_what_an_origin_may_have_made_since_it_said_so_is_taken_but_not_counted_as_its_word() -> None:
    net, host, relay, far = world()
    far.joins(host)
    relay.says(host, Push(far.batch(1, 3)))
    far.says(host, Heartbeat(1, far.revision, 1, (3,)))
    for number in (3 + 65_536, 3 + 65_537):
        relay.says(host, Push(far.batch(number)))
    assert held(host, 3 + 65_536, 3 + 65_537) == [True, False]
    far.says(host, Heartbeat(2, far.revision, 1, (4,)))
    relay.says(host, Push(far.batch(3 + 65_537)))
    assert held(host, 3 + 65_537) == [True]
    far.answers(host)
    far.says(host, Push(far.batch(2**40)))
    assert held(host, 2**40) == [True], "of its own it says what it likes"
    assert dropped(host, net) == {"far_beyond": 1}


def test_what_fell_out_of_the_journal_isnt_said_to_be_nothing() -> None:
    """Nobody here hears the origin, so that a relay may say how far it goes."""
    net, host, relay, far = world()
    relay.says(host, Push(far.batch(1, 3)))
    relay.says(host, Push(far.batch(2**40)))
    asked = (1, 3), (2**40, 2**40)
    assert told(relay, host, far.batch(1), *asked) == [(2**40, 2**40, [2**40])]
    assert held(host, 1, 2, 3) == [True] * 3
    for number in (1, 2, 3):
        host.core.session_removed("shop", sid(number))
    assert told(relay, host, far.batch(1), *asked) == [(2**40, 2**40, [2**40]), (1, 3, [])]
    assert dropped(host, net) == {}
