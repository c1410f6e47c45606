"""What is passed on, once and by the origin's terms, and what a relay may claim."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcache.core.cache.entry import Entries
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE
from meshcache.core.values.limits import Limits
from meshcache.core.wire.messages import Batch, Fetch, FetchEnd, FetchReply, Heartbeat, Push
from tests.core.net import Host, Net, Puppet, dropped, sid, vip


def world(limits: Limits | None = None, reach: Any = REACH_EVERYWHERE, **settings: Any) -> tuple[Net, Host, Puppet]:
    net = Net(limits=limits)
    host = net.add("me", "ams1", vip("me", reach=reach, **settings))
    peer = Puppet(net, "x", "ams1", vip("x", reach=REACH_EVERYWHERE))
    peer.joins(host)
    return net, host, peer


def held(host: Host, net: Net, *numbers: int) -> list[bool]:
    return [host.core.holds("shop", sid(number)) for number in numbers]


def origin(net: Net, name: str, colo: str, incarnation: int = 7) -> Puppet:
    return Puppet(net, name, colo, vip(name, colo, reach=REACH_EVERYWHERE), incarnation=incarnation)


@pytest.mark.parametrize(
    ("relay_colo", "origin_name", "origin_colo", "allowed"),
    [
        ("ams1", "z", "fra1", True),
        ("ams1", "z", "ams1", False),
        ("fra1", "z", "fra1", False),
        ("fra1", "z", "lon1", False),
        ("ams1", "me", "fra1", False),
        ("ams1", "me", "ams1", False),
    ],
)
def test_only_a_relay_of_our_colo_may_push_for_another_colos_node(
    relay_colo: str, origin_name: str, origin_colo: str, allowed: bool
) -> None:
    net, host, _ = world()
    relay = origin(net, "relay", relay_colo)
    relay.joins(host)
    relay.says(host, Push(origin(net, origin_name, origin_colo).batch(1)))
    assert held(host, net, 1) == [allowed]
    assert dropped(host, net).get("forged_origin", 0) == (not allowed)


def test_a_relay_may_not_say_that_a_linked_origin_is_elsewhere_or_has_other_terms() -> None:
    net, host, relay = world()
    far = origin(net, "z", "fra1")
    far.joins(host)
    relay.says(host, Push(replace(far.batch(1), terms=replace(far.vips[0], colo="lon1"))))
    relay.says(host, Push(replace(far.batch(1), terms=replace(far.vips[0], reach=REACH_COLO))))
    relay.says(host, Push(far.batch(1, age=(7, 99))))
    assert held(host, net, 1) == [False]
    assert dropped(host, net) == {"forged_terms": 3}
    relay.says(host, Push(far.batch(1)))
    assert held(host, net, 1) == [True]


def test_a_former_life_pushes_nothing_itself_or_through_a_relay() -> None:
    net, host, relay = world()
    origin(net, "z", "fra1", incarnation=8).joins(host)
    old = origin(net, "z", "fra1", incarnation=7)
    old.says(host, Push(old.batch(1)), b"elsewhere")
    relay.says(host, Push(old.batch(1)))
    assert held(host, net, 1) == [False]
    assert dropped(host, net) == {"old_incarnation": 2}


def test_a_peer_may_not_push_for_a_former_or_a_later_life_of_its_own() -> None:
    net, host, peer = world()
    for incarnation in (6, 8):
        peer.says(host, Push(peer.batch(1, incarnation=incarnation, age=(incarnation, 1))))
    assert dropped(host, net) == {"old_incarnation": 2}


def test_a_relay_spreads_what_comes_from_another_colo_once_and_by_the_origins_terms() -> None:
    net, host, near = world()
    shy = Puppet(net, "shy", "ams1", vip("shy", reach=REACH_COLO))
    shy.joins(host)
    far = origin(net, "z", "fra1")
    far.joins(host)
    for _ in range(2):
        far.says(host, Push(far.batch(1), relay=True))
    assert [push.batch.terms.node for push in near.hears(Push)] == ["z"]
    assert [push.relay for push in near.hears(Push)] == [False]
    assert shy.hears(Push) == []
    assert far.hears(Push) == []


def test_what_a_relay_sends_is_not_spread_again_whatever_it_asks() -> None:
    net, host, relay = world()
    other = origin(net, "other", "ams1")
    other.joins(host)
    relay.says(host, Push(origin(net, "z", "fra1").batch(1), relay=True))
    relay.says(host, Push(relay.batch(2), relay=True))
    assert held(host, net, 1, 2) == [True, True]
    assert other.hears(Push) == []


def test_a_relay_does_not_pass_on_what_its_own_policy_refuses() -> None:
    net, host, near = world(reach=REACH_COLO)
    far = origin(net, "z", "fra1")
    far.joins(host)
    far.says(host, Push(far.batch(1), relay=True))
    assert near.hears(Push) == []


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


def test_a_relay_that_claims_an_empty_range_ahead_keeps_nothing_away() -> None:
    net, host, _ = world()
    relay, far = relayed(net, "z", host)
    relay.says(host, Push(far.batch(1)))
    relay.says(host, Push(empty(far.batch(1), 2, 4096)))
    far.says(host, Push(far.batch(2, 60)))
    assert held(host, net, *range(1, 62)) == [True] * 61


def test_numbers_that_a_relay_leaves_out_are_asked_of_the_origin() -> None:
    net, host, _ = world()
    relay, far = relayed(net, "z", host)
    batch = far.batch(1, 9)
    relay.says(host, Push(replace(batch, entries=batch.entries.chosen([0, 8]))))
    net.until(lambda: bool(far.hears(Fetch)), within=2)
    assert far.hears(Fetch)[0].ranges == ((2, 8),)


@pytest.mark.parametrize("copies", [0, 3])
def test_what_was_fetched_across_colos_is_passed_on_however_far_apart_its_numbers_are(copies: int) -> None:
    net, host, near = world()
    ready(host)
    far = Puppet(net, "z", "fra1", vip("z", "fra1", reach=REACH_EVERYWHERE, copies=copies))
    far.joins(host)
    far.says(host, Push(far.batch(1), relay=True))
    far.says(host, Heartbeat(1, far.revision, 1, (9001,)))
    net.until(lambda: bool(far.hears(Fetch)), within=2)
    (fetch,) = far.hears(Fetch)
    assert fetch.ranges == ((2, 9001),)
    wide = far.batch(2, 9000)
    wide = replace(wide, entries=wide.entries.chosen([0, 1, 4000, 8999]))
    far.says(host, FetchReply(fetch.token, wide, FetchEnd.DONE))
    passed = [list(push.batch.entries.seqs) for push in near.hears(Push)]
    assert passed == [[1], [2, 3, 4002], [9001]]
