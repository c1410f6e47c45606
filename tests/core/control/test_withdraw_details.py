"""Withdraws in their details: each of these was a change of the code that no other test noticed (`make mutation`)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcache.core.control import withdraws as module
from meshcache.core.control.withdraws import REMEMBERED_S
from meshcache.core.mesh import MeshCore
from meshcache.core.values.events import SessionsWithdrawn
from meshcache.core.values.session import LIFETIME_S_MAX_TLS13
from meshcache.core.wire.messages import Withdraw
from tests.core.net import Host, Net, Puppet, has, make, sessions, sid, vip

DAY_S = 86400.0


def pair() -> tuple[Net, Host, Puppet]:
    """A node, and a member whose messages the test writes."""
    net = Net()
    host = net.add("a", "ams1", vip("a"), vip("a", name="blog"))
    puppet = Puppet(net, "p", "ams1", vip("p"), vip("p", name="blog"))
    puppet.joins(host)
    net.run(0.1)
    return net, host, puppet


def told(issuer: str = "p", number: int = 1, elapsed_s: int = 0, **names: object) -> Withdraw:
    return Withdraw(issuer, 7, number, elapsed_s, LIFETIME_S_MAX_TLS13, **names)  # type: ignore[arg-type]


def ages(core: MeshCore, now: float) -> list[tuple[int, int]]:
    return [(each.elapsed_s, each.remaining_s) for each in core.withdraws.in_force(now)]


@pytest.mark.parametrize(
    ("after_s", "left_s"),
    [
        (0.0, LIFETIME_S_MAX_TLS13),
        (100.0, LIFETIME_S_MAX_TLS13),
        (29 * DAY_S, int(REMEMBERED_S - 29 * DAY_S)),
        (40 * DAY_S, 0),
    ],
)
def test_it_is_told_with_the_time_since_it_was_issued_and_what_is_left(after_s: float, left_s: int) -> None:
    net, host, _ = pair()
    host.core.withdraw(net.now)
    assert ages(host.core, net.now + after_s + 0.5) == [(int(after_s), left_s)]


def test_it_is_remembered_until_the_last_moment() -> None:
    net, host, _ = pair()
    host.core.withdraw(net.now)
    for after_s, known in ((REMEMBERED_S - 1, 1), (REMEMBERED_S, 0)):
        host.core.withdraws.expire(net.now + after_s)
        assert len(host.core.withdraws) == known


def test_what_was_made_since_it_was_issued_is_not_taken_by_one_that_comes_late() -> None:
    net, host, puppet = pair()
    old = make(net, host, 1)
    net.run(60)
    puppet.joins(host)
    young = make(net, host, 2)
    net.run(10)
    puppet.says(host, told(elapsed_s=40))
    assert (has(net, host, old), has(net, host, young)) == (False, True)
    assert ages(host.core, net.now) == [(40, LIFETIME_S_MAX_TLS13)]


def test_the_count_is_of_all_that_went_on_all_vips_and_by_each() -> None:
    net, host, _ = pair()
    for number in range(3):
        make(net, host, number)
    make(net, host, 9, name="blog")
    assert host.core.withdraw(net.now) == 4
    number = host.core.withdraws.number
    assert host.core.withdraws.gone("a", host.core.records()[0][0].incarnation, number) == 4
    assert host.core.withdraws.gone("a", 1, number + 1) is None
    net.run(3)
    make(net, host, 11)
    assert host.core.withdraw(net.now) == 1
    assert sessions(host, net)["withdrawn"] == 4, "3 of shop, and then one more"
    events = host.happened(SessionsWithdrawn)
    assert [(event.at, event.sessions) for event in events] == [(net.now - 3, 4), (net.now, 1)]


def test_a_session_withdrawn_by_its_id_is_refused_again_and_another_is_not() -> None:
    net, host, _ = pair()
    made = make(net, host, 1)
    assert host.core.withdraw_session("shop", made, net.now)
    born_at = net.now
    net.run(10)
    make(net, host, 1, born_at=born_at)
    make(net, host, 2, born_at=born_at)
    assert (has(net, host, sid(1)), has(net, host, sid(2))) == (False, True)


def test_of_a_batch_only_the_ids_that_are_withdrawn_are_left_out() -> None:
    net, host, puppet = pair()
    puppet.says(host, told(ids=(sid(5), sid(7))))
    places = host.core.withdraws.places(puppet.vips[0], [sid(4), sid(5), sid(6), sid(7)], [0, 0, 0, 0], net.now)
    assert places == {1, 3}
    with pytest.raises(ValueError, match="zip"):
        host.core.withdraws.places(puppet.vips[0], [sid(4)], [0, 0], net.now)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ({"vip": "shop"}, {}, 1),
        ({"vip": "shop", "origin": "p"}, {"vip": "shop"}, 1),
        ({"vip": "shop"}, {"vip": "blog"}, 2),
        ({"vip": "shop"}, {"vip": "shop", "origin": "p"}, 2),
        ({"ids": (sid(1),)}, {}, 1),
        ({"ids": (sid(1),)}, {"vip": "shop"}, 2),
        ({"ids": (sid(1),)}, {"ids": (sid(1), sid(2))}, 2),
        ({}, {"ids": (sid(1),)}, 2),
    ],
)
def test_a_later_one_takes_the_place_of_those_that_it_covers(
    first: dict[str, object], second: dict[str, object], kept: int
) -> None:
    net, host, puppet = pair()
    puppet.says(host, told(number=1, **first))
    net.run(3)
    puppet.says(host, told(number=2, **second))
    assert len(host.core.withdraws) == 2, "so close together no order is known"
    net.run(10)
    puppet.joins(host)
    puppet.says(host, told(number=3, **second))
    assert len(host.core.withdraws) == kept


def test_of_two_of_one_scope_that_are_close_the_later_time_counts() -> None:
    net, host, puppet = pair()
    puppet.says(host, told("z", number=1, vip="shop", elapsed_s=3))
    puppet.says(host, told("b", number=2, vip="shop"))
    ((elapsed_s, _),) = ages(host.core, net.now)
    assert elapsed_s == 0
    assert [each.issuer for each in host.core.withdraws.in_force(net.now)] == ["z"]


def test_the_digest_is_of_what_is_known_and_empty_without_any() -> None:
    _, host, puppet = pair()
    other = Net().add("a", "ams1", vip("a"))
    assert host.core.withdraws.digest() == b""
    seen = set()
    for number, names in enumerate(({"vip": "shop"}, {"vip": "blog"}, {"origin": "p"})):
        puppet.says(host, told(number=number, **names))
        other.core.withdraws.inherit(told(number=number, **names), 0.0)
        assert host.core.withdraws.digest() == other.core.withdraws.digest()
        seen.add(host.core.withdraws.digest())
    assert {len(digest) for digest in seen} == {8}
    assert len(seen) == 3


def test_what_was_acted_on_is_not_acted_on_again_and_the_oldest_is_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_HEARD_MAX", 3)
    net, host, puppet = pair()
    numbers = []
    for _ in range(4):
        host.core.withdraw(net.now, vip="shop")
        numbers.append(host.core.withdraws.number)
    acts, incarnation = host.core.withdraws.acts, host.core.records()[0][0].incarnation
    assert acts == 4
    assert [host.core.withdraws.gone("a", incarnation, number) for number in numbers] == [None, 0, 0, 0]
    again = replace(told("a", vip="shop"), incarnation=incarnation)
    for number in numbers[1:]:
        puppet.says(host, replace(again, number=number))
    assert host.core.withdraws.acts == acts
    puppet.says(host, replace(again, number=numbers[0]))
    assert host.core.withdraws.acts == acts + 1


def test_each_issuer_has_its_own_rate() -> None:
    net, host, puppet = pair()
    burst = int(net.limits.withdraws_burst)
    for number in range(burst + 5):
        puppet.says(host, told("p", number=number, vip="shop"))
    assert host.core.withdraws.acts == burst
    puppet.says(host, told("q", number=1, vip="shop"))
    assert host.core.withdraws.acts == burst + 1


def test_one_of_an_earlier_life_is_as_old_as_it_was() -> None:
    net, host, _ = pair()
    host.core.withdraws.inherit(told(elapsed_s=50), net.now)
    assert ages(host.core, net.now + 0.5) == [(50, LIFETIME_S_MAX_TLS13)]


def test_clocks_may_have_run_apart_since_it_was_issued() -> None:
    net, host, puppet = pair()
    host.core.withdraw(net.now)
    later = net.now + 10 * DAY_S
    born_s = [int(10 * DAY_S) - after_s for after_s in (-60, 100, 400)]
    places = host.core.withdraws.places(puppet.vips[0], [sid(1), sid(2), sid(3)], born_s, later)
    assert places == {0, 1}, "170 s in ten days, and roundings"


def test_two_sessions_are_said_as_two() -> None:
    _, host, puppet = pair()
    puppet.says(host, told(ids=(sid(1), sid(2))))
    assert host.happened(SessionsWithdrawn)[0].scope == "2 sessions"
