"""What the policy matrix counts: every way out, under the verdict that held when the sessions were made."""

from __future__ import annotations

from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, Reach, Terms
from meshcache.core.state.crossings import WAYS_MAX, Crossings
from meshcache.core.values.topology import NodeRecord

SAME, OTHER = b"1" * 32, b"2" * 32


def terms(
    node: str, colo: str, vip: str, *, group: str = "", reach: Reach = REACH_EVERYWHERE, digest: bytes = SAME
) -> Terms:
    return Terms(node, colo, vip, group or vip, digest, reach)


def record(*of: Terms) -> NodeRecord:
    return NodeRecord(of[0].node, 1, of[0].colo, "127.0.0.1:1", 1, of)


SHOP = terms("a1", "ams1", "shop", group="storefront")
PAY = terms("a1", "ams1", "pay", reach=REACH_COLO)


def lines(crossings: Crossings) -> dict[tuple[str, str, str], tuple[str, int]]:
    """What holds now, by source, target and its colo."""
    return {
        (line["from_vip"], line["to_vip"], line["to_colo"]): (line["verdict"], line["sessions"])
        for line in crossings.to_plain()
        if line["now"]
    }


def test_each_way_has_the_verdict_of_the_gate_that_would_be_asked() -> None:
    crossings = Crossings()
    near = record(terms("a2", "ams1", "shop", group="storefront"), terms("a2", "ams1", "pay", reach=REACH_COLO))
    far = record(terms("f1", "fra1", "checkout", group="storefront"), terms("f1", "fra1", "pay"))
    crossings.update({}, [SHOP, PAY], [near, far], 1)
    found = {way: verdict for way, (verdict, _) in lines(crossings).items()}
    assert found == {
        ("shop", "shop", "ams1"): "allowed",
        ("shop", "pay", "ams1"): "other_group",
        ("shop", "checkout", "fra1"): "allowed",
        ("shop", "pay", "fra1"): "other_group",
        ("pay", "shop", "ams1"): "other_group",
        ("pay", "pay", "ams1"): "allowed",
        ("pay", "checkout", "fra1"): "other_group",
        ("pay", "pay", "fra1"): "sender_reach",
    }


def test_sessions_count_on_every_way_that_was_known_when_they_were_made() -> None:
    crossings = Crossings()
    crossings.update({"shop": 10}, [SHOP], [record(terms("a2", "ams1", "shop", group="storefront"))], 1)
    assert lines(crossings)["shop", "shop", "ams1"] == ("allowed", 0)
    crossings.update({"shop": 13}, [SHOP], [], 1)
    assert lines(crossings)["shop", "shop", "ams1"] == ("allowed", 3)
    crossings.update({"shop": 13}, [SHOP], [], 1)
    assert lines(crossings)["shop", "shop", "ams1"] == ("allowed", 3)


def test_a_tightened_policy_leaves_the_old_count_where_it_was() -> None:
    far = record(terms("f1", "fra1", "shop", group="storefront"))
    crossings = Crossings()
    crossings.update({"shop": 0}, [SHOP], [far], 1)
    tight = terms("a1", "ams1", "shop", group="storefront", reach=REACH_COLO)
    crossings.update({"shop": 5}, [tight], [far], 2)
    crossings.update({"shop": 7}, [tight], [far], 2)
    assert lines(crossings)["shop", "shop", "fra1"] == ("sender_reach", 2)
    old = [line for line in crossings.to_plain() if not line["now"]]
    assert [(line["verdict"], line["sessions"]) for line in old] == [("allowed", 5)]


def test_one_node_that_may_have_a_session_is_enough_and_else_the_nearest_reason_shows() -> None:
    island = terms("f1", "fra1", "shop", group="storefront", digest=OTHER)
    willing = terms("f2", "fra1", "shop", group="storefront")
    crossings = Crossings()
    crossings.update({}, [SHOP], [record(island)], 1)
    assert lines(crossings)["shop", "shop", "fra1"][0] == "settings_differ"
    crossings.update({}, [SHOP], [record(island), record(willing)], 2)
    assert lines(crossings)["shop", "shop", "fra1"][0] == "allowed"


def test_a_way_that_is_gone_takes_its_counts_along() -> None:
    crossings = Crossings()
    crossings.update({"shop": 0}, [SHOP], [record(terms("f1", "fra1", "shop"))], 1)
    crossings.update({"shop": 4}, [SHOP], [], 2)
    assert crossings.to_plain() == []


def test_a_vip_that_comes_back_with_a_fresh_count_takes_nothing_away() -> None:
    crossings = Crossings()
    near = [record(terms("a2", "ams1", "shop", group="storefront"))]
    for made in (10, 0, 2):
        crossings.update({"shop": made}, [SHOP], near, 1)
    assert lines(crossings)["shop", "shop", "ams1"] == ("allowed", 2)


def test_what_peers_claim_to_serve_does_not_make_the_table_grow_without_end() -> None:
    crossings = Crossings()
    claims = [record(*(terms(f"n{node}", "ams1", f"v{node}-{vip}") for vip in range(64))) for node in range(40)]
    crossings.update({"shop": 1}, [SHOP], claims, 1)
    crossings.update({"shop": 2}, [SHOP], claims, 1)
    assert len(crossings.to_plain()) == WAYS_MAX
