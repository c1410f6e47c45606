"""Both kinds of what holds a VIP's sessions, for tests that run against each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshcache import hot
from meshcache.core.cache.vip_cache import VipCache, VipEntries

Make = Callable[[int, int], VipEntries]

COMPILED: Make | None = None if hot.compiled is None else hot.compiled.VipCache

both_tables = pytest.mark.parametrize(
    "make",
    [
        pytest.param(VipCache, id="python"),
        pytest.param(COMPILED, id="c", marks=pytest.mark.skipif(COMPILED is None, reason=hot.why_not)),
    ],
)
