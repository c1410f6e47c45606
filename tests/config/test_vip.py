"""A VIP's own rules: lifetimes, its group, what counts as a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcache.config import VipSettings, read_settings
from tests.config.test_crosschecks import faults_of, vip


def test_a_session_of_tls_1_2_lives_a_day_at_most() -> None:
    day = 24 * 3600
    assert faults_of(vip("a", sharing={"lifetime_s": day, "lineage_s": day})) == []
    assert "24 hours" in faults_of(vip("a", sharing={"lifetime_s": day + 1, "lineage_s": 7 * day}))[0]
    assert faults_of(vip("a", min_tls="1.3", sharing={"lifetime_s": 7 * day, "lineage_s": 7 * day})) == []
    assert "at most 604800" in faults_of(vip("a", min_tls="1.3", sharing={"lifetime_s": 7 * day + 1}))[0]


def test_a_lineage_outlives_its_sessions() -> None:
    assert "lineage_s must be at least lifetime_s" in faults_of(vip("a", sharing={"lineage_s": 60}))[0]


def test_a_vip_is_alone_in_the_group_of_its_own_name_unless_another_is_named() -> None:
    assert VipSettings(name="shop").group == "shop"
    assert (
        read_settings({"vip": [vip("shop", sharing={"group": "storefront"})]}, Path("/")).vips[0].group == "storefront"
    )


def test_one_string_is_a_list_of_one() -> None:
    shop = read_settings({"vip": [vip("shop", names="Shop.Example", alpn="h2")]}, Path("/")).vips[0]
    assert (shop.names, shop.alpn) == (("shop.example",), ("h2",))


@pytest.mark.parametrize("protocol", ["", "x" * 256, "é"])
def test_a_protocol_fits_into_its_byte_of_length(protocol: str) -> None:
    assert "RFC 7301" in faults_of(vip("shop", alpn=["http/1.1", protocol]))[0]
    assert faults_of(vip("shop", alpn=["x" * 255])) == []


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        VipSettings(name="shop").name = "pay"
