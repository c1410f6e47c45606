"""Counters by VIP."""

from __future__ import annotations

from meshcache.core.counters import Counters


def test_a_vip_keeps_its_counters() -> None:
    counters = Counters()
    counters.vip("shop").made += 1
    assert counters.vip("shop").made == 1
    assert counters.vip("blog").made == 0
    assert sorted(counters.vips) == ["blog", "shop"]
