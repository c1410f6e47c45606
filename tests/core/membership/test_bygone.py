"""Peers that were forgotten: their addresses are tried ever more rarely for a day, so that a long cut heals itself."""

from __future__ import annotations

from itertools import pairwise

import pytest

from meshcache.core.membership.bygone import BYGONE_MAX, REMEMBERED_S, Bygone
from meshcache.core.membership.candidates import Candidates
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
    bygone = Bygone(candidates)
    bygone.remember("x:1", 0.0)
    tried = []
    while len(bygone):
        now = bygone.next_due()
        bygone.tick(now, 0.0)
        tried.append(now)
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses == sorted(pauses)
    assert (min(pauses), max(pauses) > 600) == (40, True)
    assert REMEMBERED_S < tried[-1] < REMEMBERED_S + 1000


def test_who_answers_is_bygone_no_more_and_only_so_many_are_remembered() -> None:
    bygone = Bygone(Candidates(Limits()))
    for number in range(BYGONE_MAX + 5):
        bygone.remember(f"x{number}:1", float(number))
    assert len(bygone) == BYGONE_MAX
    bygone.answered(f"x{BYGONE_MAX}:1")
    assert len(bygone) == BYGONE_MAX - 1
