"""The lines of `stats`: totals and rates from readings, warnings for what somebody should look at."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from meshcache.cli import view
from meshcache.cli.output import plain_table
from tests.cli.conftest import BusyNode


def two_readings(seconds: float = 5) -> tuple[dict[str, Any], dict[str, Any]]:
    node = BusyNode()
    node.advance(60)
    before = deepcopy(node.stats())
    node.advance(seconds)
    return before, deepcopy(node.stats())


def test_totals_are_parts_of_all_handshakes_that_ended_well() -> None:
    _, stats = two_readings()
    stats["vips"] = {"shop": stats["vips"]["shop"]}
    stats["vips"]["shop"]["handshakes"] = {"full": 10, "local": 20, "remote": 60, "pulled": 10, "failed": 900}
    (row,) = view.total_rows(stats)
    assert row[:4] == ["shop", "100", "90.0%", "70.0%"]


def test_rates_are_differences_by_the_nodes_own_clock() -> None:
    before, after = two_readings()
    for stats, full, remote, pushed in ((before, 100, 0, 7), (after, 110, 40, 57)):
        stats["vips"] = {"shop": stats["vips"]["shop"]}
        stats["vips"]["shop"]["handshakes"] = {"full": full, "local": 0, "remote": remote, "pulled": 0}
        stats["vips"]["shop"]["sessions"] |= {"pushed": pushed, "refused": {"sender_reach": pushed}}
    (row,) = view.rate_rows(before, after)
    assert row[:4] == ["shop", "10.0", "80.0%", "80.0%"]
    assert row[-2:] == ["10.0", "10.0"]


def test_the_busiest_vip_comes_first_and_a_new_one_counts_from_nothing() -> None:
    before, after = two_readings()
    del before["vips"]["pay"]
    assert [row[0] for row in view.rate_rows(before, after)] == ["pay", "shop", "checkout"]


def test_no_handshake_is_no_percentage() -> None:
    before, _ = two_readings()
    assert [row[1:4] for row in view.rate_rows(before, before)] == [["0.0", "-", "-"]] * 3


def test_every_line_fits_into_80_columns_even_with_large_figures() -> None:
    before, after = two_readings()
    for vip in after["vips"].values():
        vip["handshakes"] = dict.fromkeys(("full", "local", "remote", "pulled"), 999_999)
        vip |= {"entries": 999_999, "bytes": 2**30 - 1, "quota_bytes": 2**30}
    after["vips"]["a-rather-long-name-of-a-vip"] = after["vips"].pop("shop")
    for table in (
        plain_table(view.TOTALS, view.total_rows(after)),
        plain_table(view.RATES, view.rate_rows(before, after)),
        view.heading(after),
        view.gossip_totals(after),
        view.gossip_rates(before, after),
    ):
        assert max(map(len, table.splitlines())) <= 80, table


def test_borders_at_work_are_told_apart_from_trouble() -> None:
    stats, _ = two_readings()
    stats["vips"]["shop"]["lookups"]["refused"] = {"sender_reach": 3, "settings_differ": 2}
    stats["vips"]["shop"]["sessions"]["refused"] = {"sender_reach": 1}
    assert view.remarks(stats) == ["kept in  shop: sender_reach 4"]
    assert view.warnings(stats) == ["shop: refused settings_differ 2"]


def test_warnings_name_who_and_what() -> None:
    stats, _ = two_readings()
    stats["peers"][0] |= {"state": "lost", "last_seen_s": 31.0, "flaps": 3}
    stats["peers"][1]["islands"] = ["storefront", {"group": "pay", "differs": ["tls_floor", "client_auth"]}]
    stats["vips"]["pay"]["lookups"]["hit_not_resumed"] = 5
    stats["gossip"]["dropped"] = {"malformed": 2, "queue_full": 0}
    assert view.warnings(stats) == [
        "edge-2 (ams1): lost, last seen 31s ago",
        "edge-2 (ams1): was away and came back 3 times",
        'edge-3 (ams1): an island, its settings of share group "storefront" differ',
        'edge-3 (ams1): an island, its settings of share group "pay" (tls_floor, client_auth) differ',
        "pay: 5 lookups hit and did not resume",
    ]
    assert view.remarks(stats) == ["dropped  malformed 2"]


def test_what_a_relay_could_not_keep_is_told_since_the_start_or_the_last_reading() -> None:
    before, after = two_readings()
    before["vips"]["shop"]["sessions"]["passed_on_unkept"] = {"quota": 3}
    after["vips"]["shop"]["sessions"]["passed_on_unkept"] = {"quota": 3, "number": 4}
    assert view.warnings(before) == ["shop: 3 sessions were passed on and not kept meanwhile, see doctor"]
    assert view.warnings(after, before) == ["shop: 4 sessions were passed on and not kept meanwhile, see doctor"]
    assert view.warnings(after, after) == []


def test_while_watching_old_trouble_is_not_told_again() -> None:
    before, after = two_readings()
    for stats in (before, after):
        stats["vips"]["pay"]["lookups"] |= {"hit_not_resumed": 5, "refused": {"der": 2}}
        stats["gossip"]["dropped"] = {"malformed": 2, "queue_full": 0}
    assert view.warnings(after, before) == []
    after["gossip"]["dropped"] = {"malformed": 3}
    assert view.warnings(after, before) == ["gossip: dropped malformed 1"]


def test_a_node_that_tells_less_is_shown_all_the_same() -> None:
    bare = {"node": {"name": "a", "colo": "b", "uptime_s": 0}, "vips": {"shop": {}}}
    assert view.heading(bare) == "node a  colo b  up 0s  members 1/1 (b 1)"
    assert view.total_rows(bare)[0][:2] == ["shop", "0"]
    assert view.rate_rows(bare, bare)[0][1] == "0.0"
    assert view.gossip_totals(bare).endswith("lag -")
    assert view.warnings(bare) == view.remarks(bare) == []
