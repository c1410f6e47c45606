"""The table of peers and what is thought of each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcache.core.state.members import FORGOTTEN_MAX, FOUND_S, SAID_MAX, Members, PeerState
from meshcache.core.values.events import (
    EventLog,
    PeerForgotten,
    PeerJoined,
    PeerLeft,
    PeerLost,
    PeerRecovered,
    PeerSuspect,
)
from meshcache.core.values.limits import Limits
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.record_size import PEERS_BYTES_MAX, weight
from tests.core.samples import large_record


def record(name: str = "edge-1", incarnation: int = 1, revision: int = 1) -> NodeRecord:
    return NodeRecord(name, incarnation, "ams1", f"{name}:1", revision, ())


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
def members(events: EventLog) -> Members:
    return Members(Limits(), events)


def kinds(events: EventLog) -> list[type]:
    return [type(event) for event in events.drain()]


def test_a_peer_goes_through_its_states_and_back(members: Members, events: EventLog) -> None:
    peer = members.join(record(), "edge-1:1", 0.0)
    members.doubt(peer, 3.0)
    members.heard(peer, 4.0)
    members.doubt(peer, 7.0)
    members.lose(peer, 12.0)
    assert not peer.usable
    members.heard(peer, 13.0)
    assert peer.state is PeerState.ALIVE
    assert kinds(events) == [PeerJoined, PeerSuspect, PeerRecovered, PeerSuspect, PeerLost, PeerJoined]


def test_hearing_of_one_that_is_alive_changes_nothing_but_the_time(members: Members) -> None:
    peer = members.join(record(), "edge-1:1", 0.0)
    before = members.generation
    members.heard(peer, 5.0)
    assert (peer.heard_at, members.generation) == (5.0, before)


def test_peers_are_walked_in_the_order_of_their_names(members: Members) -> None:
    for name in ("c", "a", "b"):
        members.join(record(name), f"{name}:1", 0.0)
    assert [peer.name for peer in members] == ["a", "b", "c"]


def test_a_new_incarnation_takes_the_place_of_the_old(members: Members) -> None:
    old = members.join(record(), "edge-1:1", 0.0)
    new = members.join(record(incarnation=2), "edge-1:2", 1.0)
    assert members.get("edge-1") is new
    assert members.at("edge-1:1") is None
    assert members.at("edge-1:2") is new
    assert len(members) == 1
    assert old is not new


def test_who_left_or_was_forgotten_stays_buried_for_a_while(members: Members, events: EventLog) -> None:
    members.left(members.join(record("a"), "a:1", 0.0), 10.0)
    members.forget(members.join(record("b"), "b:1", 0.0), 10.0)
    assert members.buried("a", 1, 11.0)
    assert members.buried("b", 1, 609.0)
    assert not members.buried("b", 1, 611.0)
    assert not members.buried("a", 2, 11.0)
    members.exhume("a", 1)
    assert not members.buried("a", 1, 11.0)
    assert kinds(events) == [PeerJoined, PeerLeft, PeerJoined, PeerForgotten]
    assert len(members) == 0


def test_a_link_that_ends_for_want_of_need_says_nothing(members: Members, events: EventLog) -> None:
    peer = members.join(record(), "edge-1:1", 0.0)
    events.drain()
    members.part(peer)
    assert kinds(events) == []
    assert not members.buried("edge-1", 1, 1.0)


def test_of_who_is_no_peer_any_more_it_is_known_how_much_it_has_said(members: Members) -> None:
    said = replace(record(), revision=5)
    members.part(members.join(said, "edge-1:1", 0.0))
    assert members.said_more(replace(said, revision=4))
    assert not members.said_more(said)
    assert not members.said_more(replace(said, incarnation=2, revision=1)), "another life"
    assert (members.said("edge-1"), members.said("edge-2")) == ((1, 5), (0, 0))
    for number in range(SAID_MAX):
        members.part(members.join(record(f"n{number}"), "n:1", 0.0))
    assert not members.said_more(replace(said, revision=4)), "of the newest that went"


def test_a_thousand_restarts_leave_a_bounded_memory(members: Members) -> None:
    for incarnation in range(1, FORGOTTEN_MAX + 500):
        members.left(members.join(record(incarnation=incarnation), "edge-1:1", 0.0), 1.0)
    assert members.forgotten == FORGOTTEN_MAX
    assert members.buried("edge-1", FORGOTTEN_MAX + 499, 2.0)
    assert not members.buried("edge-1", 1, 2.0)


def test_a_peer_can_be_dialled_elsewhere(members: Members) -> None:
    peer = members.join(record(), "edge-1:1", 0.0)
    members.move(peer, "10.0.0.1:9", 1.0)
    assert members.at("10.0.0.1:9") is peer
    assert members.at("edge-1:1") is None
    members.part(peer)
    assert members.at("10.0.0.1:9") is None


def test_the_generation_tells_of_every_change_that_an_audience_may_depend_on(members: Members) -> None:
    seen = {members.generation}
    peer = members.join(record(), "edge-1:1", 0.0)
    for change in (
        lambda: members.renew(peer, record(revision=2)),
        lambda: members.doubt(peer, 1.0),
        lambda: members.lose(peer, 1.0),
        lambda: members.heard(peer, 1.0),
        lambda: members.left(peer, 1.0),
    ):
        seen.add(members.generation)
        change()
        assert members.generation not in seen


def full_of_heavy_ones(members: Members) -> int:
    at = 0
    while members.fits(large_record(f"x{at:03}")):
        members.join(large_record(f"x{at:03}"), f"x{at:03}:1", 0.0)
        at += 1
    return at


@pytest.mark.slow
def test_heavy_records_have_room_up_to_their_bound_and_light_ones_always(members: Members) -> None:
    assert full_of_heavy_ones(members) == PEERS_BYTES_MAX // weight(large_record("x000"))
    assert members.fits(record())
    assert members.fits(large_record("y", vips=8, colos=64, reaches=1))
    assert not members.fits(large_record("y"))


@pytest.mark.slow
def test_what_was_said_before_gives_its_room_back(members: Members) -> None:
    heavy = full_of_heavy_ones(members)
    assert members.fits(large_record("x000", revision=2))
    lighter = large_record("x000", vips=32, colos=64, reaches=32, revision=2)
    first = members.get("x000")
    assert first is not None
    members.renew(first, lighter)
    assert members.fits(large_record("y", vips=16, colos=64, reaches=16))
    for at in range(heavy):
        peer = members.get(f"x{at:03}")
        assert peer is not None
        members.left(peer, 0.0)
    assert full_of_heavy_ones(members) == heavy


def test_of_two_at_one_address_neither_receives_before_it_has_answered_from_there(members: Members) -> None:
    one = members.join(record("a"), "10.0.0.1:1", 0.0)
    other = members.join(record("b"), "10.0.0.1:1", 10.0)
    assert (one.usable, one.receives, other.receives) == (True, False, False)
    assert members.receiving() == []
    before = members.generation
    members.found_there(other, 10.5)
    assert members.receiving() == [other]
    assert members.generation > before, "audiences are found anew"
    assert members.usable() == [one, other], "the first one is asked further, and lost in the end"


def test_who_was_found_where_it_is_isnt_asked_again_by_each_claim(members: Members) -> None:
    one = members.join(record("a"), "10.0.0.1:1", 0.0)
    members.join(record("b"), "10.0.0.1:1", 10.0)
    members.found_there(one, 10.5)
    members.join(record("c"), "10.0.0.1:1", 10.6)
    members.join(record("b", 2), "10.0.0.1:1", 10.7)
    assert one.receives
    members.join(record("d"), "10.0.0.1:1", 10.5 + FOUND_S)
    assert not one.receives
    members.move(one, "10.0.0.1:2", 20.0)
    assert one.receives, "it is alone there"


def test_a_claim_has_to_be_outlived_once_the_time_of_the_one_that_was_found_is_over(members: Members) -> None:
    one = members.join(record("a"), "10.0.0.1:1", 0.0)
    members.join(record("b"), "10.0.0.1:1", 10.0)
    one.pings = ((1, 10.2), (2, 12.0))
    one.sent_after = 10.2
    members.found_there(one, 10.5)
    members.join(record("c"), "10.0.0.1:1", 11.0)
    members.displace_unfound(one, 10.4 + FOUND_S)
    assert (one.receives, one.sought) == (True, True)
    before = members.generation
    members.displace_unfound(one, 10.5 + FOUND_S)
    assert (one.receives, members.generation > before) == (False, True)
    assert one.pings == ((2, 12.0),), "an answer to what was asked after the claim is one still"
    one.sent_after = 12.0
    members.found_there(one, 16.0)
    members.displace_unfound(one, 30.0)
    assert (one.receives, one.sought) == (True, False), "nobody has claimed it since"


def test_a_lost_one_contests_nothing_until_it_is_heard_again(members: Members) -> None:
    one = members.join(record("a"), "10.0.0.1:1", 0.0)
    members.lose(one, 9.0)
    other = members.join(record("b"), "10.0.0.1:1", 10.0)
    assert other.receives
    members.heard(one, 20.0)
    assert (one.receives, other.receives) == (False, False)


def test_who_leaves_an_address_takes_nothing_from_who_came_after_it(members: Members) -> None:
    one = members.join(record("a"), "10.0.0.1:1", 0.0)
    other = members.join(record("b"), "10.0.0.1:1", 10.0)
    members.move(one, "10.0.0.1:2", 11.0)
    assert members.at("10.0.0.1:1") is other
    third = members.join(record("c"), "10.0.0.1:2", 12.0)
    members.join(record("a", 2), "10.0.0.1:3", 13.0)
    assert members.at("10.0.0.1:2") is third
