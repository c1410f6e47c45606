"""What the core gives to watchers besides plain counters: lag by buckets, flaps, islands, ways and their verdicts."""

from __future__ import annotations

from typing import Any

from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE
from meshcache.core.state.lag import HALVE_AT, LagHistogram
from tests.core.net import Host, Net, make, mesh, vip


def peer_of(host: Host, name: str, now: float) -> dict[str, Any]:
    return next(peer for peer in host.core.stats(now)["peers"] if peer["name"] == name)


def test_buckets_are_cumulative_and_end_beyond_a_minute_with_all_but_the_slowest() -> None:
    lag = LagHistogram()
    for lag_s in (0.00001, 0.001, 0.001, 0.02, 45.0, 1000.0):
        lag.add(lag_s)
    buckets = dict(lag.buckets_ms())
    assert list(buckets) == sorted(buckets)
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets[0.05] == 1
    assert next(n for le, n in buckets.items() if le >= 1) == 3
    assert next(n for le, n in buckets.items() if le >= 20) == 4
    assert list(buckets.values())[-1] == 5
    assert lag.count == 6


def test_buckets_never_go_down_when_the_percentiles_forget() -> None:
    """Prometheus takes a histogram that shrinks for a restart."""
    lag = LagHistogram()
    for _ in range(HALVE_AT + 10):
        lag.add(0.001)
    assert list(dict(lag.buckets_ms()).values())[-1] == lag.count == HALVE_AT + 10


def test_a_peer_that_falls_silent_and_comes_back_has_flapped() -> None:
    net = Net()
    first, second = mesh(net, ["a1", "a2"])
    net.until(lambda: bool(first.core.stats(net.now)["peers"]))
    assert peer_of(first, "a2", net.now)["flaps"] == 0
    net.lose = lambda sender, _receiver, _payload: sender == second.name
    net.until(lambda: peer_of(first, "a2", net.now)["state"] != "alive", within=60)
    net.lose = lambda _sender, _receiver, _payload: False
    net.until(lambda: peer_of(first, "a2", net.now)["state"] == "alive", within=60)
    assert peer_of(first, "a2", net.now)["flaps"] == 1


def test_an_island_is_named_by_its_group() -> None:
    net = Net()
    (first,) = mesh(net, ["a1"])
    net.add("a2", "ams1", vip("a2", digest=b"\x02" * 32), seeds=(first.address,))
    net.until(lambda: bool(first.core.stats(net.now)["peers"]))
    assert peer_of(first, "a2", net.now)["islands"] == [{"group": "shop"}]


def test_ways_count_what_was_made_while_somebody_looked() -> None:
    net = Net()
    (near,) = mesh(net, ["a1"], reach=REACH_EVERYWHERE)
    net.add("f1", "fra1", vip("f1", "fra1", reach=REACH_EVERYWHERE), seeds=(near.address,))
    net.until(lambda: bool(near.core.stats(net.now)["peers"]))
    for number in range(3):
        make(net, near, number)
    (way,) = near.core.stats(net.now)["policy"]["crossings"]
    assert (way["from_colo"], way["to_colo"], way["verdict"], way["sessions"]) == ("ams1", "fra1", "allowed", 3)
    near.core.set_vip(vip("a1", reach=REACH_COLO), net.now)
    near.core.stats(net.now)
    make(net, near, 3)
    ways = near.core.stats(net.now)["policy"]["crossings"]
    assert {(way["verdict"], way["sessions"], way["now"]) for way in ways} == {
        ("allowed", 3, False),
        ("sender_reach", 1, True),
    }


def test_the_group_and_reach_of_a_vip_are_shown() -> None:
    net = Net()
    (host,) = mesh(net, ["a1"], reach=REACH_EVERYWHERE, group="storefront")
    shop = host.core.stats(net.now)["vips"]["shop"]
    assert (shop["group"], shop["reach"]) == ("storefront", "everywhere")
