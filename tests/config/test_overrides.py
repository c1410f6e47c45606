"""``--set`` changes what the file says, and a key that leads nowhere is a fault with the nearest right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache.config import load, read_settings
from meshcache.config.overrides import apply_overrides, parse_value
from meshcache.core.policy.gates import REACH_EVERYWHERE
from meshcache.errors import ConfigError

FILE: dict[str, Any] = {"vip": [{"name": "shop"}, {"name": "www.shop.example", "sharing": {"reach": "colo"}}]}


def test_a_value_is_toml_and_else_a_string() -> None:
    assert parse_value("12") == 12
    assert parse_value("true") is True
    assert parse_value('["a", "b"]') == ["a", "b"]
    assert parse_value('"12"') == "12"
    assert parse_value("edge-2") == "edge-2"
    assert parse_value("127.0.0.1:8444") == "127.0.0.1:8444"
    assert parse_value("1\nother = 2") == "1\nother = 2"
    assert parse_value("") == ""


def test_a_vip_is_meant_by_place_or_by_name_even_when_the_name_has_dots() -> None:
    changed, faults = apply_overrides(
        FILE,
        ["vip.0.listen=127.0.0.1:8444", "vip.shop.min_tls=1.3", "vip.www.shop.example.sharing.reach=everywhere"],
    )
    assert faults == []
    assert changed["vip"][0] == {"name": "shop", "listen": "127.0.0.1:8444", "min_tls": 1.3}
    settings = read_settings({"vip": changed["vip"][1:]}, Path("/"))
    assert settings.vips[0].sharing.reach == REACH_EVERYWHERE
    assert "listen" not in FILE["vip"][0]


def test_min_tls_may_be_written_as_a_number() -> None:
    assert read_settings(FILE, Path("/"), ["vip.0.min_tls=1.3"]).vips[0].min_tls == "1.3"


@pytest.mark.parametrize(
    "override,told",
    [
        ("vip.shp.listen=1", 'no VIP is named "shp"; did you mean "shop"?'),
        ("vip.pay.listen=1", 'no VIP is named "pay"; there is shop, www.shop.example'),
        ("vip.2.listen=1", "the file has 2 VIP(s), counted from 0"),
        ("vip.shop=1", "say which VIP and which key"),
        ("vip=1", "say which VIP and which key"),
        ("node.name", "KEY=VALUE"),
        ("=1", "KEY=VALUE"),
        ("node..name=1", "KEY=VALUE"),
        ("vip.0.name.x=1", "name is not a table"),
    ],
)
def test_an_override_that_leads_nowhere_is_a_fault(override: str, told: str) -> None:
    _, faults = apply_overrides(FILE, [override])
    assert len(faults) == 1
    assert faults[0].startswith(f"--set {override}: ")
    assert told in faults[0]


def test_an_override_is_checked_like_the_file(tmp_path: Path) -> None:
    file = tmp_path / "meshcache.toml"
    file.write_text('[[vip]]\nname = "shop"\n')
    with pytest.raises(ConfigError) as caught:
        load(file, ["node.nam=x", "vip.shop.sharing.reach=wide", "vip.shp.x=1"])
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "--set vip.shp.x=1",
        "node.nam",
        "vip[0].sharing.reach",
    ]


def test_an_override_of_a_file_without_vips_says_so() -> None:
    assert apply_overrides({}, ["vip.0.listen=x"])[1] == ["--set vip.0.listen=x: the file has no VIP"]
