"""Figures on both sides of each border between two ways of writing them."""

from __future__ import annotations

import pytest

from meshcache.cli import figures


@pytest.mark.parametrize(
    "written,expected",
    [
        (figures.count(0), "0"),
        (figures.count(999_999), "999,999"),
        (figures.count(1_000_000), "1.00M"),
        (figures.count(2.5e9), "2.50G"),
        (figures.count(None), "-"),
        (figures.rate(0.04), "0.0"),
        (figures.rate(99.94), "99.9"),
        (figures.rate(1234.5), "1,234"),
        (figures.rate(None), "-"),
        (figures.percent(1, 3), "33.3%"),
        (figures.percent(0, 0), "-"),
        (figures.size(999), "999 B"),
        (figures.size(1000), "1.0 KiB"),
        (figures.size(102_400), "100 KiB"),
        (figures.size(64 * 2**20), "64.0 MiB"),
        (figures.size(2**31), "2.0 GiB"),
        (figures.size(None), "-"),
        (figures.duration(59.9), "59s"),
        (figures.duration(60), "1m00s"),
        (figures.duration(3600), "1h00m"),
        (figures.duration(2 * 3600 + 14 * 60), "2h14m"),
        (figures.duration(86_400), "1d00h"),
        (figures.duration(None), "-"),
        (figures.milliseconds(0.254), "0.25 ms"),
        (figures.milliseconds(4.04), "4.0 ms"),
        (figures.milliseconds(1234.5), "1,234 ms"),
        (figures.milliseconds(None), "-"),
        (figures.ago(9.94), "9.9 s ago"),
        (figures.ago(75), "1m15s ago"),
        (figures.ago(None), "never"),
        (figures.cropped("storefront", 10), "storefront"),
        (figures.cropped("storefronts", 10), "storefron…"),
    ],
)
def test_figures_are_short_and_plain(written: str, expected: str) -> None:
    assert written == expected
