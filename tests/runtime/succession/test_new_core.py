"""A core for each start: one name, a life that is numbered anew."""

from __future__ import annotations

from pathlib import Path

from meshcache.runtime.succession.new_core import new_core
from tests.nodes import settings


def test_each_start_is_a_later_life_of_the_same_name(folder: Path) -> None:
    lives = [new_core(settings(folder, "edge-1"), "127.0.0.1:7946").records()[0][0] for _ in range(2)]
    assert [life.node for life in lives] == ["edge-1"] * 2
    assert [life.address for life in lives] == ["127.0.0.1:7946"] * 2
    assert lives[0].incarnation < lives[1].incarnation
