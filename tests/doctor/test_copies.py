"""What a relay couldn't keep is told with what to do about it."""

from __future__ import annotations

from typing import Any

from meshcache.doctor.copies import copies_findings
from meshcache.doctor.finding import FindingState


def vip(**unkept: int) -> dict[str, Any]:
    return {"sessions": {"passed_on_unkept": unkept}}


def test_where_all_was_kept_there_is_nothing_to_say() -> None:
    assert list(copies_findings({"shop": vip(), "pay": {}, "old": {"sessions": {}}})) == []


def test_each_vip_has_its_number_and_what_there_was_too_little_of() -> None:
    quota, number = copies_findings({"shop": vip(quota=7), "pay": vip(number=2, quota=3)})
    assert (quota.name, quota.state) == ("relay of VIP shop", FindingState.PROBLEM)
    assert quota.text.startswith("7 sessions of other colos were passed on without being kept")
    assert "cache.max_bytes" in quota.do
    assert "65,536" not in quota.do
    assert number.text.startswith("5 sessions")
    assert "let more servers of this colo" in number.do
    assert "cache.max_bytes" in number.do
