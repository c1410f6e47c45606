"""Peers that were forgotten: their addresses are tried ever more rarely for a day, so that a long cut heals itself."""

from __future__ import annotations

from itertools import pairwise

import pytest

from meshcache.core.membership.candidates import SEED, Candidates
from meshcache.core.membership.remembered_addresses import ADDRESSES_MAX, REMEMBERED_S, RememberedAddresses
from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.core.values.limits import Limits
from tests.core.net import Net, has, make, vip


def alive(net: Net, name: str) -> int:
    return sum(peer["state"] == "alive" for peer in net.hosts[name].core.peers(net.now))


@pytest.mark.parametrize("minutes", [12, 80])
def test_a_mesh_without_seeds_is_whole_within_a_minute_after_a_long_cut(minutes: int) -> None:
    net = Net()
    names = ["a", "b", "c", "d"]
    for name in names:
        net.add(name, "ams1", vip(name))
    for name in names[1:]:  # as mDNS would, once
        net.hosts[name].core.candidate("a:7946", "mdns", net.now)
    net.until(lambda: all(alive(net, name) == 3 for name in names))
    net.lose = lambda sender, receiver, _: (sender in "ab") != (receiver in "ab")
    net.run(minutes * 60)
    assert [alive(net, name) for name in names] == [1] * 4
    assert [len(net.hosts[name].core.peers(net.now)) for name in names] == [1] * 4, "they are forgotten by now"
    made = make(net, net.hosts["a"], 1)
    net.lose = lambda *_: False
    net.until(lambda: all(alive(net, name) == 3 for name in names), within=60)
    net.until(lambda: all(has(net, net.hosts[name], made) for name in names), within=30)


def test_two_colos_without_seeds_meet_again_after_a_long_cut_between_them() -> None:
    net = Net()
    colos = {"a": "ams1", "b": "ams1", "c": "fra1", "d": "fra1"}
    for name, colo in colos.items():
        net.add(name, colo, vip(name, colo, reach=REACH_EVERYWHERE))
    for name in "bcd":
        net.hosts[name].core.candidate("a:7946", "mdns", net.now)
    net.run(15)
    net.lose = lambda sender, receiver, _: (sender in "ab") != (receiver in "ab")
    net.run(12 * 60)
    made = make(net, net.hosts["a"], 1), make(net, net.hosts["d"], 2)
    net.lose = lambda *_: False
    net.until(lambda: all(has(net, net.hosts[name], one) for name in colos for one in made), within=90)


def test_an_address_is_tried_ever_more_rarely_and_given_up_after_a_day() -> None:
    candidates = Candidates(Limits())
    addresses = RememberedAddresses(candidates)
    addresses.remember("x:1", 0.0, 0.0)
    tried = []
    while len(addresses):
        now = addresses.next_due()
        addresses.tick(now, 0.0)
        tried.append(now)
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses == sorted(pauses)
    assert (min(pauses), max(pauses) > 600) == (40, True)
    assert REMEMBERED_S < tried[-1] < REMEMBERED_S + 1000


def test_who_answers_is_tried_no_more_and_only_so_many_are_remembered() -> None:
    addresses = RememberedAddresses(Candidates(Limits()))
    for number in range(ADDRESSES_MAX + 5):
        addresses.remember(f"x{number}:1", 0.0, float(number))
    assert len(addresses) == ADDRESSES_MAX
    addresses.answered(f"x{ADDRESSES_MAX}:1")
    assert len(addresses) == ADDRESSES_MAX - 1


@pytest.mark.parametrize("minutes", [12, 80])
def test_a_node_that_starts_anew_during_a_cut_finds_its_mesh_by_what_it_was_told_to_remember(minutes: int) -> None:
    net = Net()
    for name in "abc":
        net.add(name, "ams1", vip(name))
    for name in "bc":
        net.hosts[name].core.candidate("a:7946", "mdns", net.now)
    net.until(lambda: all(alive(net, name) == 2 for name in "abc"))
    kept = net.hosts["c"].core.places(net.now)
    assert set(kept) == {"a:7946", "b:7946"}
    net.lose = lambda sender, receiver, _: (sender == "c") != (receiver == "c")
    net.run(60)
    net.stop("c")
    anew = net.add("c", "ams1", vip("c"))
    for address, heard_s in kept.items():
        anew.core.remembered(address, heard_s, net.now)
    net.run(minutes * 60)
    assert set(anew.core.places(net.now)) == {"a:7946", "b:7946"}, "to be kept over the next start too"
    assert min(anew.core.places(net.now).values()) >= minutes * 60
    made = make(net, net.hosts["a"], 1)
    net.lose = lambda *_: False
    net.until(lambda: all(alive(net, name) == 2 for name in "abc"), within=60)
    net.until(lambda: has(net, anew, made), within=30)


def test_a_remembered_address_that_is_this_nodes_own_by_now_is_tried_no_more() -> None:
    net = Net()
    one = net.add("a", "ams1", vip("a"))
    net.by_address["other-name-of-a:7946"] = one
    for address in ("other-name-of-a:7946", "a:7946", "no address"):
        one.core.remembered(address, 5.0, net.now)
    assert set(one.core.places(net.now)) == {"other-name-of-a:7946"}
    net.until(lambda: not one.core.places(net.now))


def test_where_a_name_was_before_a_copy_took_it_is_remembered_for_when_the_copy_is_gone() -> None:
    """Seed 28 of `mixed`: nobody knew any more where the name's holder had listened."""
    net = Net()
    for name in "abc":
        net.add(name, "ams1", vip(name))
    for name in "bc":
        net.hosts[name].core.candidate("a:7946", "mdns", net.now)
    net.until(lambda: all(alive(net, name) == 2 for name in "abc"))
    net.stop("c")
    net.run(5)
    copy = net.add("c", "ams1", vip("c"), incarnation=10**6, address="copy:7946")
    copy.core.candidate("a:7946", "mdns", net.now)
    net.run(5)
    assert {peer["address"] for peer in net.hosts["a"].core.peers(net.now)} == {"b:7946", "copy:7946"}
    net.add("c", "ams1", vip("c"))  # with no state folder, so it waits to be found
    net.stop("c@copy:7946")
    net.until(lambda: all(alive(net, name) == 2 for name in "abc"), within=60)


def test_who_said_goodbye_is_not_remembered_and_who_lives_is() -> None:
    net = Net()
    for name in "abc":
        net.add(name, "ams1", vip(name), seeds=("a:7946",) if name != "a" else ())
    net.until(lambda: alive(net, "a") == 2)
    net.hosts["b"].core.leave(net.now)
    net.run(0.1)
    net.stop("b")
    assert set(net.hosts["a"].core.places(net.now)) == {"c:7946"}


def test_a_seed_that_answered_before_is_tried_too() -> None:
    candidates = Candidates(Limits())
    addresses = RememberedAddresses(candidates)
    candidates.hint("x:1", SEED, 0.0)
    assert candidates.due(0.0, 0.0) == ["x:1"]
    candidates.answered("x:1", "x")
    assert candidates.due(5.0, 0.0) == []
    addresses.remember("x:1", 5.0, 10.0)  # its link wasn't wanted, and then it fell silent
    addresses.tick(10.0, 0.0)
    assert candidates.due(10.0, 0.0) == ["x:1"]
