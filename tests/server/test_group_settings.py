"""Tests of `server.group_settings`: what the workers of a group run with while the file changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from meshcache_server.group_settings import GroupSettings

from meshcache import ConfigError

BEGUN = """
[node]
colo = "ams1"
[server]
workers = 2
[[vip]]
name = "shop"
[vip.sharing]
reach = "everywhere"
"""

EDITED = BEGUN.replace("ams1", "ams2").replace("everywhere", "colo")


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "meshcache.toml"
    path.write_text(BEGUN)
    return path


def held(settings: GroupSettings) -> tuple[str, object]:
    return settings.now.node.colo, settings.now.vips[0].sharing.reach.to_plain()


def test_what_is_in_the_file_counts_once_it_is_taken_but_for_what_needs_a_restart(file: Path) -> None:
    settings = GroupSettings(file, ["vip.shop.tickets=3"])
    before = settings.told()
    file.write_text(EDITED)
    fresh = settings.read()
    assert fresh.settings.vips[0].tickets == 3
    assert (held(settings), settings.told()) == (("ams1", "everywhere"), before)
    assert settings.take(fresh) == (["vip.shop.sharing.reach"], ["node.colo"])
    assert held(settings) == ("ams1", "colo")
    assert settings.told() == {"taken": EDITED, "number": before["number"] + 1}
    start = {"file": str(file), "overrides": ["vip.shop.tickets=3"], "begun": BEGUN}
    assert settings.for_start() == start | settings.told()


def test_a_file_that_changes_meanwhile_is_noticed(file: Path) -> None:
    settings = GroupSettings(file, ())
    fresh = settings.read()
    assert settings.still(fresh)
    file.write_text(EDITED)
    assert not settings.still(fresh)
    file.unlink()
    assert not settings.still(fresh)
    with pytest.raises(ConfigError, match="no such file"):
        settings.read()
