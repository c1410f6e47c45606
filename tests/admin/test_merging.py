"""What several workers say of themselves, added up."""

from __future__ import annotations

from typing import Any

from meshcache.admin.merging import merged_peers, merged_stats
from tests.admin.snapshots import GeneratedNode


def worker(seed: int, name: str) -> dict[str, Any]:
    node = GeneratedNode(seed)
    node.advance(10)
    stats = node.stats()
    stats["node"]["name"] = name
    return stats


def test_counters_are_sums_of_percentiles_the_worst_is_told_and_words_stay() -> None:
    one, other = worker(1, "edge-1.aa.w0"), worker(2, "edge-1.aa.w1")
    merged = merged_stats([one, other], {"name": "edge-1", "colo": "ams1", "uptime_s": 12.0})
    for way in ("full", "local", "remote"):
        of = [stats["vips"]["shop"]["handshakes"][way] for stats in (one, other)]
        assert merged["vips"]["shop"]["handshakes"][way] == sum(of)
    assert merged["vips"]["shop"]["group"] == "storefront"
    lags = [stats["gossip"]["lag_ms"]["intra"] for stats in (one, other)]
    intra = merged["gossip"]["lag_ms"]["intra"]
    assert intra["p99"] == max(lag["p99"] for lag in lags)
    assert intra["count"] == sum(lag["count"] for lag in lags)
    assert [count for _, count in intra["buckets"]] == [
        sum(counts) for counts in zip(*([count for _, count in lag["buckets"]] for lag in lags), strict=True)
    ]
    assert [bound for bound, _ in intra["buckets"]] == [bound for bound, _ in lags[0]["buckets"]]
    assert (merged["node"]["name"], merged["node"]["uptime_s"]) == ("edge-1", 12.0)
    assert [each["name"] for each in merged["node"]["workers"]] == ["edge-1.aa.w0", "edge-1.aa.w1"]


def test_what_one_server_has_once_is_told_once() -> None:
    merged = merged_stats([worker(1, "w0"), worker(2, "w1")], {"name": "edge-1"})
    front = merged["front"]
    assert front["connections"] == {"open": 428, "max": 20_000}
    assert [each["name"] for each in front["certificates"]] == ["shop.example", "checkout.example", "pay.example"]
    assert front["certificates"][0]["ends_in_s"] == 62 * 86_400
    assert next((each["vip"], each["backend"], each["open"]) for each in front["backends"]) == (
        "shop",
        "10.0.0.21:8080",
        142,
    )
    assert front["handshake_failures"] == [{"vip": "shop", "kind": "handshake timeout", "count": 4}]


def test_a_backend_that_one_worker_can_reach_is_up_and_all_are_warm_when_each_is() -> None:
    one, other = worker(1, "w0"), worker(2, "w1")
    one["front"]["backends"][0]["up"] = False
    one["node"]["warm"], other["node"]["warm"] = False, True
    one["front"]["reload"] = {"ok": True, "changed": ["vip.shop.tickets"], "restart": [], "faults": []}
    merged = merged_stats([one, other], {"name": "edge-1"})
    assert merged["front"]["backends"][0]["up"] is True
    assert merged["node"]["warm"] is False
    assert merged["front"]["reload"]["changed"] == ["vip.shop.tickets"]


def test_one_worker_is_told_as_it_is() -> None:
    one = worker(1, "edge-1.aa.w0")
    merged = merged_stats([one], {})
    assert {key: merged[key] for key in one if key not in ("node", "peers")} == {
        key: value for key, value in one.items() if key not in ("node", "peers")
    }


def test_peers_are_those_outside_as_the_worker_sees_them_that_hears_them_best() -> None:
    def peer(name: str, state: str, last_seen_s: float | None) -> dict[str, Any]:
        return {"name": name, "state": state, "last_seen_s": last_seen_s}

    first = [peer("w1", "alive", 0.1), peer("far", "suspect", 6.0), peer("gone", "lost", None)]
    second = [peer("w0", "alive", 0.1), peer("far", "alive", 0.4), peer("gone", "lost", 31.0)]
    found = merged_peers([first, second], ["w0", "w1"])
    assert [(each["name"], each["state"], each["last_seen_s"]) for each in found] == [
        ("far", "alive", 0.4),
        ("gone", "lost", 31.0),
    ]
