"""Two configurations differ in keys that an operator can find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshcache.config import Settings, changed_keys, needs_restart, read_settings


def settings(**tables: Any) -> Settings:
    return read_settings({"node": {"name": "edge-1"}, **tables}, Path("/etc/meshcache"))


def test_only_what_differs_is_named() -> None:
    before = settings(vip=[{"name": "shop"}, {"name": "pay"}])
    after = settings(
        vip=[{"name": "pay"}, {"name": "shop", "sharing": {"lifetime_s": 60}}], mesh={"seeds": ["10.0.0.7:7946"]}
    )
    assert changed_keys(before, before) == []
    assert changed_keys(before, after) == ["mesh.seeds", "vip.shop.sharing.lifetime_s"]


def test_a_vip_that_comes_or_goes_is_named_whole() -> None:
    assert changed_keys(settings(vip=[{"name": "shop"}]), settings(vip=[{"name": "pay"}])) == ["vip.pay", "vip.shop"]


def test_what_waits_for_a_restart_is_told_apart() -> None:
    after = settings(mesh={"listen": "0.0.0.0:7947", "mdns": False}, admin={"http": "127.0.0.1:9946"})
    changed = changed_keys(settings(mesh={"mdns": False}), after)
    assert changed == ["admin.http", "mesh.listen"]
    assert needs_restart([*changed, "vip.shop.names"]) == ["admin.http", "mesh.listen"]
