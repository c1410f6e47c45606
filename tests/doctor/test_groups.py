"""One VIP in two share groups is found and named; several VIPs in one group, and one group everywhere, are fine."""

from __future__ import annotations

from typing import Any

import pytest

from meshcache.doctor.finding import Finding, FindingState
from meshcache.doctor.groups import group_findings


def peer(name: str, group: str, *, colo: str = "ams1", reach: Any = "everywhere", **more: Any) -> dict[str, Any]:
    vips = [{"name": "shop", "group": group, "reach": reach}]
    return {"name": name, "colo": colo, "state": "alive", "vips": vips, **more}


def found(*peers: dict[str, Any], group: str = "shop", reach: Any = "everywhere") -> list[Finding]:
    vips = {"shop": {"group": group, "reach": reach}, "pay": {"group": "storefront", "reach": "everywhere"}}
    return list(group_findings({"node": {"name": "edge-1", "colo": "ams1"}, "vips": vips}, peers))


def test_a_vip_in_two_groups_is_named_with_both_and_the_nodes() -> None:
    (finding,) = found(peer("edge-2", "shop"), peer("edge-4", "storefront"), peer("edge-3", "storefront"))
    assert (finding.state, finding.name) == (FindingState.PROBLEM, "share group of VIP shop")
    assert finding.text.endswith(": shop on edge-1 (asked), edge-2; storefront on edge-3, edge-4")
    assert "same sharing.group" in finding.do


def test_two_groups_elsewhere_are_seen_from_here_and_many_nodes_are_cut_short() -> None:
    peers = [peer(f"e{n}", f"g{n % 2}") for n in range(14)]
    for each in peers:
        each["vips"][0]["name"] = "cart"
    (finding,) = found(*peers)
    assert finding.text.endswith("g0 on e0, e10, e12, e2, e4 and 2 more; g1 on e1, e11, e13, e3, e5 and 2 more")


def test_equal_groups_and_vips_that_share_one_are_fine() -> None:
    assert found() == []
    assert found(peer("edge-2", "shop")) == []
    assert found(peer("edge-2", "storefront"), group="storefront") == [], "and pay is in it too, on purpose"


def test_a_peer_that_is_lost_or_tells_nothing_counts_for_nothing() -> None:
    assert found(peer("edge-2", "storefront", state="lost")) == []
    assert found({"name": "edge-2", "state": "alive"}) == []
    assert list(group_findings({}, [])) == []


@pytest.mark.parametrize(
    ("mine", "theirs", "colo", "state"),
    [
        ("everywhere", "everywhere", "fra1", FindingState.PROBLEM),
        (["ams1", "fra1"], ["ams1", "fra1"], "fra1", FindingState.PROBLEM),
        ("colo", ["fra1"], "ams1", FindingState.PROBLEM),
        ("colo", "everywhere", "fra1", FindingState.NOTE),
        ("everywhere", "colo", "fra1", FindingState.NOTE),
        ("server", "everywhere", "ams1", FindingState.NOTE),
        (["ams1", "ber1"], "everywhere", "fra1", FindingState.NOTE),
    ],
)
def test_it_is_a_hint_where_the_reach_would_keep_them_apart_anyway(
    mine: Any, theirs: Any, colo: str, state: FindingState
) -> None:
    (finding,) = found(peer("edge-2", "storefront", colo=colo, reach=theirs), reach=mine)
    assert finding.state is state
