"""The metrics page against the snapshot that it is made of, and against members who choose their names with care."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from meshcache.admin import metrics
from meshcache.admin.api import http_app
from tests.admin.snapshots import USED_UP, GeneratedNode


@pytest.fixture
def node() -> GeneratedNode:
    node = GeneratedNode()
    for _ in range(20):
        node.advance(1)
    return node


@pytest.fixture
def registry(node: GeneratedNode) -> CollectorRegistry:
    return metrics.registry_of(node.stats)


def series_of(registry: CollectorRegistry) -> list[str]:
    """Every series of ours on the page, by name and labels, as often as it is there."""
    lines = generate_latest(registry).decode().splitlines()
    return [line.rpartition(" ")[0] for line in lines if line.startswith("meshcache_")]


def labels_of(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Every name of ours on the page with the labels that it has."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for family in families for sample in family.samples if sample.name.startswith("meshcache_")]
    return {sample.name: set(sample.labels) for sample in samples}


COUNTED = ("issued", "unknown_key")


def test_counters_equal_the_snapshot(node: GeneratedNode, registry: CollectorRegistry) -> None:
    stats = node.stats()
    for vip, of in stats["vips"].items():
        for result, n in of["handshakes"].items():
            assert registry.get_sample_value("meshcache_handshakes_total", {"vip": vip, "result": result}) == n
        for result in ("local", "remote", "pulled", "miss", "foreign", "expired"):
            labels = {"vip": vip, "result": result}
            assert registry.get_sample_value("meshcache_session_lookups_total", labels) == of["lookups"][result]
        for what in (
            "made",
            "pushed",
            "received",
            "repaired",
            "restored",
            "duplicate",
            "recalled",
            "withdrawn",
            *USED_UP,
        ):
            assert registry.get_sample_value(f"meshcache_sessions_{what}_total", {"vip": vip}) == of["sessions"][what]
        tickets = {what: registry.get_sample_value(f"meshcache_tickets_{what}_total", {"vip": vip}) for what in COUNTED}
        assert tickets == {what: of["tickets"][what] for what in COUNTED}
        young, refused = {"vip": vip, "key_age": "1h"}, {"vip": vip, "reason": "lifetime"}
        assert registry.get_sample_value("meshcache_tickets_opened_total", young) == of["tickets"]["opened"]["1h"]
        assert registry.get_sample_value("meshcache_tickets_refused_total", refused) == 3
        assert registry.get_sample_value("meshcache_cache_bytes", {"vip": vip}) == of["bytes"]
        assert registry.get_sample_value("meshcache_cache_quota_bytes", {"vip": vip}) == of["quota_bytes"]
    sent = {"direction": "sent"}
    assert registry.get_sample_value("meshcache_gossip_bytes_total", sent) == stats["gossip"]["sent"]["bytes"]
    assert registry.get_sample_value("meshcache_cache_max_sessions") == stats["cache"]["max_sessions"]


def test_times_are_in_seconds(node: GeneratedNode, registry: CollectorRegistry) -> None:
    peer = node.stats()["peers"][0]
    rtt_s = registry.get_sample_value("meshcache_peer_rtt_seconds", {"peer": peer["name"]})
    assert rtt_s == pytest.approx(peer["rtt_ms"] / 1000)
    lag = node.stats()["gossip"]["lag_ms"]["intra"]
    scope = {"scope": "colo"}
    assert registry.get_sample_value("meshcache_gossip_propagation_seconds_count", scope) == lag["count"]
    assert registry.get_sample_value("meshcache_gossip_propagation_seconds_sum", scope) == pytest.approx(
        lag["sum"] / 1000
    )
    name = "meshcache_gossip_propagation_seconds_bucket"
    buckets = [registry.get_sample_value(name, {**scope, "le": f"{le / 1000:.6g}"}) for le, _ in lag["buckets"]]
    assert buckets == [count for _, count in lag["buckets"]]
    assert registry.get_sample_value(name, {**scope, "le": "+Inf"}) == lag["count"]


def test_a_node_counts_itself_among_the_members(node: GeneratedNode, registry: CollectorRegistry) -> None:
    node.lose("edge-4")
    value = registry.get_sample_value
    assert value("meshcache_members", {"state": "alive", "colo": "ams1"}) == 3
    assert value("meshcache_members", {"state": "alive", "colo": "fra1"}) == 2
    assert value("meshcache_members", {"state": "lost", "colo": "fra1"}) == 1


def test_a_peer_without_a_round_trip_has_no_such_line(node: GeneratedNode, registry: CollectorRegistry) -> None:
    node.lose("edge-4")
    assert registry.get_sample_value("meshcache_peer_rtt_seconds", {"peer": "edge-4"}) is None
    assert registry.get_sample_value("meshcache_peer_last_seen_seconds", {"peer": "edge-4"}) == 31


def test_refusals_keep_their_reasons(node: GeneratedNode, registry: CollectorRegistry) -> None:
    node.vips["pay"]["lookups"]["refused"] = {"name_class": 2, "der": 3}
    node.vips["pay"]["sessions"]["refused"] = {"sender_reach": 7}
    node.vips["pay"]["sessions"]["passed_on_unkept"] = {"quota": 5}
    value = registry.get_sample_value
    assert value("meshcache_session_lookups_refused_total", {"vip": "pay", "reason": "der"}) == 3
    assert value("meshcache_session_lookups_total", {"vip": "pay", "result": "refused"}) == 5
    assert value("meshcache_sessions_refused_total", {"vip": "pay", "reason": "sender_reach"}) == 7
    assert value("meshcache_sessions_passed_on_unkept_total", {"vip": "pay", "reason": "quota"}) == 5


def test_a_node_without_vips_or_peers_is_still_a_page() -> None:
    node = GeneratedNode()
    node.vips, node.peers_plain, node.crossings = {}, [], []
    registry = metrics.registry_of(node.stats)
    assert registry.get_sample_value("meshcache_members", {"state": "alive", "colo": "ams1"}) == 1


def test_two_peers_of_one_name_do_not_spoil_the_page(node: GeneratedNode, registry: CollectorRegistry) -> None:
    """A repeated series makes Prometheus refuse all of a scrape: one hostile member would blind the operator."""
    node.peers_plain[0]["queue"] = 3
    node.peers_plain.append({**node.peers_plain[0], "queue": 4, "rtt_ms": 70.0})
    assert len(series_of(registry)) == len(set(series_of(registry)))
    name = {"peer": node.peers_plain[0]["name"]}
    assert registry.get_sample_value("meshcache_gossip_queue_depth", name) == 7
    assert registry.get_sample_value("meshcache_peer_rtt_seconds", name) == pytest.approx(0.07)


@pytest.mark.parametrize("name", ['x"} 1\nmeshcache_forged_total 9', "\\", "\ud800", "\u202enoitseuq", ""])
def test_a_hostile_name_adds_no_line(node: GeneratedNode, registry: CollectorRegistry, name: str) -> None:
    before = len(series_of(registry))
    node.peers_plain[0]["name"] = name
    assert len(series_of(registry)) == before
    assert set(labels_of(registry)) == set(labels_of(metrics.registry_of(GeneratedNode().stats)))


def test_no_label_can_hold_a_session(registry: CollectorRegistry) -> None:
    labels = set().union(*labels_of(registry).values())
    bounded = {
        "vip",
        "colo",
        "peer",
        "result",
        "hook",
        "tier",
        "what",
        "reason",
        "direction",
        "format",
        "path",
        "type",
        "scope",
        "state",
        "le",
        "version",
        "callback",
        "backend",
        "name",
        "kind",
        "hot_path",
        "side",
    }
    assert labels <= bounded | {"node", "mesh", "from_vip", "from_colo", "to_vip", "to_colo", "verdict", "key_age"}


def test_every_name_says_its_unit(registry: CollectorRegistry) -> None:
    units = ("_total", "_seconds", "_bytes", "_info", "_bucket", "_sum", "_count")
    counts = {"cache_entries", "cache_max_sessions", "members", "gossip_queue_depth", "peer_islands"}
    counts |= {
        "tier_entries",
        "tier_up",
        "connections_open",
        "connections_max",
        "backend_up",
        "backend_connections_open",
        "last_reload_ok",
    }
    ours = {name.removeprefix("meshcache_") for name in labels_of(registry)}
    assert not {name for name in ours if not name.endswith(units)} - counts


async def test_the_page_is_served_in_the_format_that_is_asked_for(node: GeneratedNode) -> None:
    async with TestClient(TestServer(http_app(node))) as client:
        plain = await client.get("/metrics")
        assert plain.status == 200
        assert plain.headers["Content-Type"].startswith("text/plain; version=")
        assert "meshcache_build_info" in await plain.text()
        open_ = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert open_.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await open_.text()).endswith("# EOF\n")
        assert (await client.post("/metrics")).status == 405


def test_tiers_are_on_the_page(node: GeneratedNode, registry: CollectorRegistry) -> None:
    value = registry.get_sample_value
    assert value("meshcache_tier_outcomes_total", {"tier": "disk", "what": "written"}) == 8
    assert value("meshcache_tier_up", {"tier": "disk"}) == 1
    assert (value("meshcache_tier_entries", {"tier": "disk"}), value("meshcache_tier_bytes", {"tier": "disk"})) == (
        8,
        3000,
    )
    node.tiers[0]["resting"] = True
    assert value("meshcache_tier_up", {"tier": "disk"}) == 0
