"""Tests of `runtime.front`: a program tells, or tells nothing."""

from __future__ import annotations

import pytest

from meshcache.errors import MeshcacheError
from meshcache.runtime.front import Front


def test_a_program_that_tells_nothing_has_no_stats_and_takes_no_reload() -> None:
    front = Front()
    assert front.stats() is None
    with pytest.raises(MeshcacheError, match="takes no reload"):
        front.reload()


def test_what_a_program_tells_is_asked_for_each_time() -> None:
    front, numbers = Front(), iter(range(9))
    front.tells(lambda: {"ready": True, "n": next(numbers)}, lambda: {"ok": True})
    assert [front.stats(), front.stats()] == [{"ready": True, "n": 0}, {"ready": True, "n": 1}]
    assert front.reload() == {"ok": True}
