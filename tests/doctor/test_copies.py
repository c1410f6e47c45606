"""What a relay couldn't keep is told with what to do about it."""

from __future__ import annotations

from typing import Any

from meshcache.doctor.copies import copies_findings
from meshcache.doctor.finding import FindingState


def vip(**unkept: int) -> dict[str, Any]:
    return {"sessions": {"passed_on_unkept": unkept}}


def test_where_all_was_kept_there_is_nothing_to_say() -> None:
    vips = {"shop": vip(), "pay": {}, "old": {"sessions": {}}}
    assert list(copies_findings(vips, [{"vip": "shop", "copies": 3, "other_copies": []}, {"vip": "pay"}])) == []


def test_each_vip_has_its_number_and_what_there_was_too_little_of() -> None:
    quota, number = copies_findings({"shop": vip(quota=7), "pay": vip(number=2, quota=3)}, ())
    assert (quota.name, quota.state) == ("relay of VIP shop", FindingState.PROBLEM)
    assert quota.text.startswith("7 sessions of other colos were passed on without being kept")
    assert "cache.max_bytes" in quota.do
    assert "65,536" not in quota.do
    assert number.text.startswith("5 sessions")
    assert "let more servers of this colo" in number.do
    assert "cache.max_bytes" in number.do


def test_nodes_that_make_other_numbers_of_copies_are_named() -> None:
    others = [{"name": f"edge-{at}", "copies": "all", "push": "all"} for at in range(7)]
    (found,) = copies_findings({}, [{"vip": "shop", "copies": 3, "other_copies": others}])
    assert (found.name, found.state) == ("copies of VIP shop", FindingState.NOTE)
    assert found.text.startswith("3 here, elsewhere: edge-0 all, edge-1 all")
    assert "and 2 more" in found.text
    assert "policy set" in found.do
