"""What of a sum stays when workers go: all that is a counter, and nothing else."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from meshcache.admin import worker_counters
from meshcache.admin.merging import merged_stats
from meshcache.admin.metrics import registry_of
from meshcache.admin.worker_counters import WorkerCounters
from tests.admin.snapshots import GeneratedNode

FIRST, SECOND = Path("/run/worker-0/admin.sock"), Path("/run/worker-1/admin.sock")

Answers = dict[Path, tuple[int | None, dict[str, Any]]]


def worker(seed: int, seconds: float = 10, peculiar: str = "") -> dict[str, Any]:
    """What a worker says; where it is peculiar, it counted of each kind something that no other one did."""
    node = GeneratedNode(seed)
    node.advance(seconds)
    stats = deepcopy(node.stats())
    stats["node"]["name"] = f"edge-1.aa.w{seed % 2}"
    if peculiar:
        vip, front = stats["vips"]["shop"], stats["front"]
        for counted in (vip["lookups"], vip["sessions"], vip["tickets"], stats["transport"]):
            counted["refused"][peculiar] = 5
        vip["lookups"]["asked"] = {"fetch": {peculiar: 2}}
        vip["sessions"]["passed_on_unkept"][peculiar] = 5
        stats["gossip"]["dropped"][peculiar] = stats["gossip"]["sent"]["kinds"][peculiar] = 3
        stats["faults"]["shop"] = {peculiar: 1}
        crossings = stats["policy"]["crossings"]
        crossings.append({**crossings[0], "verdict": peculiar, "sessions": 6})
        front["ended_badly"][peculiar] = front["bytes"]["shop"]["received"] = 10**9
        front["ended_badly_by"].append({"kind": peculiar, "vip": "", "backend": "", "count": 2})
        front["handshake_failures"].append({"vip": "shop", "kind": peculiar, "count": 2})
        stats["peers"][0]["flaps"] = 3
        for table in ("hooks", "tiers"):
            stats[table][0]["counts"][peculiar] = 4
    return stats


def total(counters: WorkerCounters, answers: Answers) -> dict[str, Any]:
    counters.take(answers)
    each = [stats for _, stats in answers.values()]
    return counters.complete(merged_stats(each, {"name": "edge-1"}, names=counters.names), answers)


def samples(stats: dict[str, Any]) -> dict[tuple[str, str], float]:
    """All counters of /metrics, with those that a histogram is made of, by name and labels."""
    registry: CollectorRegistry = registry_of(lambda: stats)
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for metric in registry.collect()
        if metric.type in ("counter", "histogram") and metric.name.startswith("meshcache_")
        for sample in metric.samples
    }


def test_no_counter_of_the_page_is_ever_less_and_none_is_lost() -> None:
    counters, second = WorkerCounters(), worker(1, peculiar="theirs")
    steps: list[Answers] = [
        {FIRST: (7, worker(0, peculiar="its_own")), SECOND: (8, second)},
        {SECOND: (8, second)},  # the first is late, or has gone
        {FIRST: (9, worker(2, 1)), SECOND: (8, second)},  # another one came in its place
        {FIRST: (9, worker(2, 2, peculiar="another's"))},
        {FIRST: (9, worker(4, 1)), SECOND: (10, worker(3, 1))},  # a process number may come again
    ]
    before: dict[tuple[str, str], float] = {}
    for answers in steps:
        now = samples(total(counters, answers))
        assert {key: (value, now.get(key)) for key, value in before.items() if now.get(key, -1) < value} == {}
        before = now


def test_the_sum_is_that_of_all_lives() -> None:
    counters, lives = WorkerCounters(), [worker(seed, 10 + seed) for seed in (0, 2, 4)]
    for process, life in enumerate(lives):
        stats = total(counters, {FIRST: (process, life)})
    full = sum(life["vips"]["shop"]["handshakes"]["full"] for life in lives)
    assert stats["vips"]["shop"]["handshakes"]["full"] == full
    assert stats["gossip"]["lag_ms"]["intra"]["count"] == sum(
        life["gossip"]["lag_ms"]["intra"]["count"] for life in lives
    )
    assert stats["front"]["backends"][0]["connects"] == 3 * 20_412
    assert stats["tiers"][0]["counts"] == {"written": 24}
    assert stats == total(counters, {FIRST: (2, lives[-1])}), "asked again, it is the same"


def test_what_is_no_counter_is_that_of_those_who_answer() -> None:
    counters, first, second = WorkerCounters(), worker(0), worker(1)
    total(counters, {FIRST: (7, first), SECOND: (8, second)})
    stats, alone = total(counters, {SECOND: (8, second)}), merged_stats([second], {"name": "edge-1"})
    assert counters.last(FIRST) == first
    assert counters.names == {"edge-1.aa.w0", "edge-1.aa.w1"}
    for place in ("entries", "bytes", "quota_bytes", "reach"):
        assert stats["vips"]["shop"][place] == alone["vips"]["shop"][place]
    assert stats["front"]["connections"] == alone["front"]["connections"]
    assert (stats["cache"], stats["node"]) == (alone["cache"], alone["node"])
    assert stats["gossip"]["lag_ms"]["p99"] == alone["gossip"]["lag_ms"]["p99"]
    assert stats["transport"]["links"] == alone["transport"]["links"]
    assert [row["open"] for row in stats["front"]["backends"]] == [row["open"] for row in alone["front"]["backends"]]


def test_a_vip_or_a_backend_that_no_worker_has_any_more_is_told_of_no_more() -> None:
    counters, before, after = WorkerCounters(), worker(0), worker(2)
    del after["vips"]["pay"], after["front"]["backends"][0]
    total(counters, {FIRST: (7, before)})
    stats = total(counters, {FIRST: (8, after)})
    assert "pay" not in stats["vips"]
    assert [row["backend"] for row in stats["front"]["backends"]] == ["10.0.0.22:8080", "unix:/run/pay"]


def test_a_verdict_of_one_that_ended_holds_no_more() -> None:
    counters = WorkerCounters()
    total(counters, {FIRST: (7, worker(0, peculiar="its_own"))})
    stats = total(counters, {FIRST: (8, worker(2))})
    (row,) = [row for row in stats["policy"]["crossings"] if row["verdict"] == "its_own"]
    assert row["now"] is False


def test_who_is_younger_than_before_is_another_whatever_its_number() -> None:
    counters, old, young = WorkerCounters(), worker(0, 10), worker(0, 1)
    total(counters, {FIRST: (None, old)})
    stats = total(counters, {FIRST: (None, young)})
    assert stats["vips"]["shop"]["handshakes"]["full"] == sum(
        each["vips"]["shop"]["handshakes"]["full"] for each in (old, young)
    )


def test_a_number_that_could_not_be_had_once_is_no_other_process() -> None:
    counters, first = WorkerCounters(), worker(0)
    for process in (7, None, 7, None, None, 7):
        stats = total(counters, {FIRST: (process, first)})
        assert stats["vips"]["shop"]["handshakes"] == first["vips"]["shop"]["handshakes"]
    total(counters, {FIRST: (None, first)})
    stats = total(counters, {FIRST: (8, first)})
    assert stats["vips"]["shop"]["handshakes"]["full"] == 2 * first["vips"]["shop"]["handshakes"]["full"]


def test_the_number_of_one_that_ended_is_not_its_followers() -> None:
    counters, old, young = WorkerCounters(), worker(0, 10), worker(0, 1)
    for process, life in ((7, old), (None, young), (8, young)):
        stats = total(counters, {FIRST: (process, life)})
    full = sum(each["vips"]["shop"]["handshakes"]["full"] for each in (old, young))
    assert stats["vips"]["shop"]["handshakes"]["full"] == full


def test_a_peers_flaps_are_the_most_that_any_place_has_seen() -> None:
    def flapping(seed: int, flaps: int, seconds: float = 10) -> dict[str, Any]:
        stats = worker(seed, seconds)
        stats["peers"][0]["flaps"] = flaps
        return stats

    counters, second = WorkerCounters(), flapping(1, 2)
    first = flapping(0, 3)
    assert total(counters, {FIRST: (7, first), SECOND: (8, second)})["peers"][0]["flaps"] == 3
    assert total(counters, {SECOND: (8, second)})["peers"][0]["flaps"] == 3
    assert total(counters, {FIRST: (9, flapping(2, 0)), SECOND: (8, second)})["peers"][0]["flaps"] == 3
    assert total(counters, {FIRST: (9, flapping(2, 1)), SECOND: (8, second)})["peers"][0]["flaps"] == 4


def test_rows_of_those_that_ended_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_counters, "ROWS_MAX", 20)
    counters = WorkerCounters()
    for process in range(10):
        stats = total(counters, {FIRST: (process, worker(0, peculiar=f"verdict_{process}"))})
    assert len(stats["policy"]["crossings"]) <= 20


def test_sums_are_the_same_in_any_order() -> None:
    sums = set()
    for order in ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1), (0.2, 0.3, 0.1)):
        counters = WorkerCounters()
        for process, seconds in enumerate(order):
            life = worker(0)
            life["front"]["backends"][0]["connect_s"] = seconds
            stats = total(counters, {FIRST: (process, life)})
        sums.add(stats["front"]["backends"][0]["connect_s"])
    assert sums == {0.6}, "less by its last bit would be less for a counter"
