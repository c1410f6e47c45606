"""What the core gives to the tiers, and what it lets in again: by today's policies, however it got there."""

from __future__ import annotations

from dataclasses import replace
from functools import partialmethod
from typing import Any

import pytest

from meshcache import hot
from meshcache.core.policy.gates import REACH_COLO, REACH_SERVER, Reach
from meshcache.core.replication.leaving_sessions import LeavingSession
from meshcache.core.replication.tiering import WAITING_MAX, Tiering
from meshcache.core.values.session import Outcome
from meshcache.core.wire.tier_record import RecordReader, TierRecord
from tests.core.net import Host, Net, has, make, mesh, sid, vip

UNIX = 1_700_000_000.0


@pytest.fixture(autouse=True, params=["python", "c"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who writes what leaves: Python, or the compiled module, whose records are read as Python's then."""
    way: str = request.param
    if way == "c":
        if hot.compiled is None:
            pytest.skip(hot.why_not)

        def take(tiering: Tiering, count: int, now: float, unix_now: float) -> list[LeavingSession]:
            many = tiering.take_many(count, now, unix_now)
            return [
                LeavingSession(each.border, *row, each.evicted, each.stays)
                for each in many
                for row in each.records.rows()
            ]

        monkeypatch.setattr(Tiering, "take", take)
        monkeypatch.setattr(Tiering, "begin", partialmethod(Tiering.begin, new_records=hot.compiled.TierRecords))
    return way


def leaving(net: Net, host: Host, count: int = 1000) -> list[LeavingSession]:
    return host.core.tiering.take(count, net.now, UNIX + net.now)


def records(some: list[LeavingSession]) -> list[TierRecord]:
    reader = RecordReader()
    return [reader.read(each.record, each.border) for each in some]


def restore(net: Net, host: Host, some: list[LeavingSession], *, private: bool = True) -> None:
    host.core.tiering.restore(records(some), net.now, UNIX + net.now, private=private, loading=True)


def one(net: Net, name: str = "a", reach: Reach = REACH_COLO, **limits: object) -> Host:
    (host,) = mesh(net, [name], reach=reach, **limits)
    return host


def kept(net: Net, reach: Reach = REACH_COLO, sessions: int = 20, **how: bool) -> list[LeavingSession]:
    """What a node of an earlier life has written."""
    old = one(net, reach=reach)
    old.core.tiering.begin(everything=True)
    for number in range(sessions):
        make(net, old, number, **how)
    old.up = False
    return leaving(net, old)


def refused(net: Net, host: Host) -> dict[str, int]:
    return host.core.stats(net.now)["vips"]["shop"]["sessions"]["refused"]


def test_before_it_begins_nothing_is_noted() -> None:
    net = Net()
    host = one(net)
    make(net, host, 1)
    assert leaving(net, host) == []
    assert host.core.tiering.waiting == 0


def test_everything_that_is_filed_leaves_once() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    b.core.tiering.begin(everything=True)
    for number in range(100):
        make(net, a, number)
    make(net, b, 100)
    net.run(3)
    found = leaving(net, b)
    assert {each.session_id for each in found} == {sid(number) for number in range(101)}
    assert len(found) == 101
    assert not any(each.evicted for each in found)
    assert leaving(net, b) == []


def test_a_tier_that_gets_what_memory_evicts_gets_no_more() -> None:
    net = Net()
    host = one(net)
    host.core.set_vip(replace(vip("a"), quota_sessions=3), net.now)
    host.core.tiering.begin(everything=False)
    for number in range(5):
        make(net, host, number)
    found = leaving(net, host)
    assert [each.session_id for each in found] == [sid(0), sid(1)]
    assert all(each.evicted for each in found)


def test_what_is_taken_at_a_time_is_bounded() -> None:
    net = Net()
    host = one(net)
    host.core.tiering.begin(everything=True)
    for number in range(100):
        make(net, host, number)
    assert [len(leaving(net, host, 30)) for _ in range(5)] == [30, 30, 30, 10, 0]


def test_what_waits_is_bounded_and_the_rest_is_counted() -> None:
    net = Net()
    host = one(net)
    tiering = host.core.tiering
    tiering.begin(everything=True)
    stream = next(iter(host.core.duties.streams))
    on_file = host.core.duties.cache.on_file
    assert on_file is not None
    on_file(stream, [b"x"] * WAITING_MAX)
    on_file(stream, [b"y", b"z"])
    assert (tiering.waiting, tiering.skipped) == (WAITING_MAX, 2)


def test_sessions_that_stay_on_their_server_and_dying_ones_never_leave() -> None:
    net = Net()
    host = one(net)
    host.core.tiering.begin(everything=True)
    make(net, host, 1, client_certificate=True)
    host.core.session_created("shop", sid(2), b"0d", net.now, lifetime_s=1.5)
    assert leaving(net, host) == []


@pytest.mark.parametrize("everything", [True, False])
def test_what_leaves_says_whether_it_stays_on_its_server(everything: bool) -> None:
    """VIP by VIP, also within one border, and by the policy of the moment in which it leaves."""
    net = Net()
    host = one(net)
    host.core.tiering.begin(everything=everything)
    reaches = {"pay": REACH_COLO, "shop": REACH_SERVER}
    for shop in (REACH_SERVER, REACH_COLO, REACH_SERVER):
        reaches["shop"] = shop
        for name, reach in reaches.items():
            host.core.set_vip(replace(vip("a", name=name, group="g", reach=reach), quota_sessions=1), net.now)
        for number in range(3):
            make(net, host, number, "shop")
            make(net, host, number + 10, "pay")
        found = {each.session_id: each.stays for each in leaving(net, host)}
        assert found.keys() >= ({sid(2), sid(12)} if everything else {sid(1), sid(11)})
        assert {stays for session_id, stays in found.items() if session_id < sid(10)} == {shop is REACH_SERVER}
        assert {stays for session_id, stays in found.items() if session_id >= sid(10)} == {False}


@pytest.mark.parametrize("everything", [True, False])
def test_what_its_vip_exports_no_more_isnt_written(everything: bool) -> None:
    net = Net()
    host = one(net)
    host.core.set_vip(vip("a", certified=True), net.now)
    host.core.tiering.begin(everything=everything)
    make(net, host, 1, client_certificate=True)
    make(net, host, 2)
    host.core.set_vip(vip("a", sessions=1), net.now)
    make(net, host, 3)
    assert sid(2) in {each.session_id for each in leaving(net, host)}
    host.core.set_vip(vip("a", certified=True), net.now)
    make(net, host, 4, client_certificate=True)
    make(net, host, 5)
    host.core.set_vip(vip("a", sessions=1), net.now)
    assert sid(4) not in {each.session_id for each in leaving(net, host)}


@pytest.mark.parametrize("reach", [REACH_COLO, REACH_SERVER])
def test_own_sessions_come_back_whatever_their_reach_is_and_are_local(reach: Reach) -> None:
    net = Net()
    found = kept(net, reach)
    new = one(net, reach=reach)
    restore(net, new, found)
    assert {new.core.lookup("shop", sid(n), net.now).outcome for n in range(20)} == {Outcome.LOCAL}
    assert new.core.stats(net.now)["vips"]["shop"]["sessions"]["restored"] == 20


def test_from_a_store_that_others_write_to_a_session_comes_only_as_far_as_its_reach() -> None:
    net = Net()
    found = kept(net, REACH_SERVER)
    new = one(net, reach=REACH_SERVER)
    restore(net, new, found, private=False)
    assert not has(net, new, sid(1))
    assert refused(net, new) == {"sender_reach": 20}


def test_in_the_same_life_own_sessions_come_back_from_any_store() -> None:
    net = Net()
    host = one(net, reach=REACH_SERVER)
    host.core.tiering.begin(everything=True)
    make(net, host, 1)
    found = leaving(net, host)
    host.core.session_removed("shop", sid(1))
    restore(net, host, found, private=False)
    assert host.core.lookup("shop", sid(1), net.now).outcome is Outcome.LOCAL


def test_what_was_evicted_comes_back_though_it_was_seen() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    b.core.tiering.begin(everything=True)
    make(net, a, 1)
    net.run(1)
    found = leaving(net, b)
    b.core.session_removed("shop", sid(1))
    restore(net, b, found, private=False)
    assert b.core.lookup("shop", sid(1), net.now).outcome is Outcome.REMOTE


def test_other_settings_refuse_what_comes_back() -> None:
    net = Net()
    found = kept(net)
    new = one(net)
    new.core.set_vip(replace(vip("a"), terms=replace(vip("a").terms, digest=b"\x02" * 32)), net.now)
    restore(net, new, found)
    assert not has(net, new, sid(1))
    assert refused(net, new) == {"settings_differ": 20}


def test_lifetime_lineage_and_quota_hold_again() -> None:
    net = Net()
    found = kept(net)
    new = one(net)
    new.core.set_vip(replace(vip("a"), lifetime_s=100, quota_sessions=5), net.now)
    restore(net, new, found)
    assert new.core.stats(net.now)["vips"]["shop"]["entries"] == 5
    net.run(101)
    assert not any(has(net, new, sid(number)) for number in range(20))


@pytest.mark.parametrize(("now_s", "left_s"), [(1000, 500), (400, 0)])
def test_a_lifetime_that_was_shortened_counts_from_when_a_session_was_made(now_s: int, left_s: int) -> None:
    """And not from when it comes back, or it would never end: a tier has it for as long as it lasted once."""
    net = Net()
    found = kept(net)
    net.run(500)
    new = one(net)
    new.core.set_vip(replace(vip("a"), lifetime_s=now_s), net.now)
    restore(net, new, found)
    assert has(net, new, sid(1)) == bool(left_s)
    net.run(left_s + 2)
    restore(net, new, found)
    assert not has(net, new, sid(1))
    assert refused(net, new)["lifetime"] >= 20


def test_a_lineage_that_is_too_old_doesnt_come_back() -> None:
    net = Net()
    found = kept(net)
    net.run(50)
    new = one(net)
    new.core.set_vip(replace(vip("a"), lineage_s=40), net.now)
    restore(net, new, found)
    assert refused(net, new) == {"lineage": 20}


def test_what_was_withdrawn_doesnt_come_back() -> None:
    net = Net()
    found = kept(net)
    new = one(net)
    new.core.withdraw(net.now, vip="shop")
    restore(net, new, found)
    assert not has(net, new, sid(1))
    assert refused(net, new) == {"withdrawn": 20}
    assert new.core.tiering.withdrawn(records(found), net.now, UNIX + net.now) == list(range(20))


@pytest.mark.parametrize(
    ("made", "now", "maker", "stay"),
    [
        (REACH_SERVER, REACH_COLO, "a", True),
        (REACH_SERVER, REACH_COLO, "b", True),
        (REACH_COLO, REACH_SERVER, "a", True),
        (REACH_COLO, REACH_SERVER, "b", False),
        (REACH_COLO, REACH_COLO, "a", False),
    ],
)
def test_what_stays_on_its_server_is_known_by_the_terms_of_then_and_its_makers_of_now(
    made: Reach, now: Reach, maker: str, stay: bool
) -> None:
    net = Net()
    old = one(net, maker, reach=made)
    old.core.tiering.begin(everything=True)
    make(net, old, 1)
    old.up = False
    found = records(leaving(net, old))
    assert one(net, "a", reach=now).core.tiering.staying(found) == ([0] if stay else [])


def test_a_withdraw_by_name_takes_sessions_out_of_the_tiers_of_every_node() -> None:
    net = Net()
    a, b = mesh(net, ["a", "b"])
    net.run(3)
    for host in (a, b):
        host.core.tiering.begin(everything=True)
    make(net, a, 1)
    make(net, a, 2)
    net.run(3)
    assert a.core.withdraw_session("shop", sid(1), net.now)
    net.run(3)
    for host in (a, b):
        border = host.core.tiering.border_of("shop")
        assert host.core.tiering.take_forgotten() == [(border, sid(1))]


@pytest.mark.parametrize("one_session", [True, False])
def test_what_was_evicted_and_is_withdrawn_before_it_is_written_never_is(one_session: bool) -> None:
    net = Net()
    host, other = mesh(net, ["a", "b"])
    net.run(3)
    host.core.set_vip(replace(vip("a"), quota_sessions=2), net.now)
    host.core.tiering.begin(everything=False)
    for number in range(4):
        make(net, host, number)
    net.run(3)
    assert host.core.tiering.waiting == 2
    if one_session:
        assert other.core.withdraw_session("shop", sid(1), net.now)
    else:
        other.core.withdraw(net.now, vip="shop")
    net.run(3)
    left = [sid(0)] if one_session else []
    assert host.core.tiering.waiting == len(left)
    assert [each.session_id for each in leaving(net, host)] == left


def test_what_ended_meanwhile_doesnt_come_back() -> None:
    net = Net()
    found = kept(net)
    net.run(4000)
    new = one(net)
    restore(net, new, found)
    assert refused(net, new) == {"lifetime": 20}


def test_what_is_restored_at_a_start_isnt_written_again() -> None:
    net = Net()
    found = kept(net)
    new = one(net)
    new.core.tiering.begin(everything=True)
    restore(net, new, found)
    assert leaving(net, new) == []


def test_what_has_to_go_and_finds_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshcache.core.replication.tiering.WAITING_MAX", 3)
    net = Net()
    host = one(net)
    host.core.session_removed("shop", sid(0))
    host.core.tiering.begin(everything=True)
    for number in range(3):
        host.core.session_removed("shop", sid(number))
    assert host.core.tiering.removals_lost == 0
    host.core.session_removed("shop", sid(3))
    assert host.core.tiering.removals_lost == 1
    host.core.tiering.sessions_withdrawn([sid(4), sid(5)], lambda _terms, _session: False)
    assert host.core.tiering.removals_lost == 3
    assert len(host.core.tiering.take_forgotten()) == 3


def test_a_session_that_is_unusable_is_taken_out_of_the_tiers_too() -> None:
    net = Net()
    host = one(net)
    host.core.tiering.begin(everything=True)
    make(net, host, 1)
    host.core.session_removed("shop", sid(1))
    ((border, session_id),) = host.core.tiering.take_forgotten()
    assert (border, session_id) == (host.core.tiering.border_of("shop"), sid(1))
    assert host.core.tiering.take_forgotten() == []
    assert leaving(net, host) == []


def test_what_was_evicted_and_is_forgotten_before_it_is_written_never_is() -> None:
    net = Net()
    host = one(net)
    host.core.set_vip(replace(vip("a"), quota_sessions=2), net.now)
    host.core.tiering.begin(everything=False)
    for number in range(5):
        make(net, host, number)
    assert host.core.tiering.waiting == 3
    host.core.session_removed("shop", sid(1))
    assert [each.session_id for each in leaving(net, host, 1)] == [sid(0)]
    assert [each.session_id for each in leaving(net, host)] == [sid(2)]
    assert host.core.tiering.waiting == 0


def test_peers_learn_what_came_back() -> None:
    net = Net()
    found = kept(net)
    new, peer = mesh(net, ["a", "b"])
    restore(net, new, found)
    net.run(30)
    assert all(has(net, peer, sid(number)) for number in range(20))


@pytest.mark.parametrize("changed", [{"group": "other"}, {"digest": b"\x09" * 32}])
def test_what_was_evicted_isnt_written_as_of_settings_that_came_after(changed: dict[str, Any]) -> None:
    net = Net()
    host = one(net)
    host.core.set_vip(replace(vip("a"), quota_sessions=2), net.now)
    host.core.tiering.begin(everything=False)
    for number in range(4):
        make(net, host, number)
    assert host.core.tiering.waiting == 2
    host.core.set_vip(replace(vip("a", **changed), quota_sessions=2), net.now)
    for number in range(4, 7):
        make(net, host, number)
    assert [each.session_id for each in leaving(net, host)] == [sid(4)]
    assert host.core.tiering.waiting == 0
