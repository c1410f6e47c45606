"""Which tiers a configuration asks for, in which order, and what becomes of those that can't be had."""

from __future__ import annotations

from pathlib import Path

from meshcache import MeshNode
from meshcache.tiers.configured import configured_tiers
from tests.nodes import settings
from tests.support.waiting import wait_until
from tests.tiers.tiers import Kept


def test_disk_comes_first_then_those_of_the_program_then_those_by_name(tmp_path: Path) -> None:
    made = settings(tmp_path, tier={"disk": {}}, hooks={"tiers": ["tests.tiers.tiers:Evicted"]})
    names = [tier["name"] for tier in configured_tiers(made, [Kept()]).stats()]
    assert names == ["disk", "kept", "evicted"]


def test_a_store_comes_after_the_disk(tmp_path: Path) -> None:
    made = settings(tmp_path, tier={"valkey": {"url": "valkey://store"}, "disk": {}})
    assert [tier["name"] for tier in configured_tiers(made).stats()] == ["disk", "valkey"]


def test_without_any_there_are_none(tmp_path: Path) -> None:
    assert configured_tiers(settings(tmp_path)).stats() == []


def test_one_that_cant_be_had_is_told_and_the_node_starts(tmp_path: Path) -> None:
    with MeshNode(settings(tmp_path, hooks={"tiers": ["nowhere:Tier"]})) as node:
        counts = wait_until(lambda: node.stats()["tiers"][0]["counts"], what="it is counted")
        assert counts["not_loaded"] >= 1
        assert "nowhere" in node.stats()["tiers"][0]["last_fault"]


def test_nothing_of_a_tier_is_imported_where_none_is_configured() -> None:
    import subprocess
    import sys

    program = "import sys, meshcache.node; print([m for m in ('lmdb', 'valkey') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
