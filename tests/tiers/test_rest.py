"""What failed is tried less and less often, until it goes right."""

from __future__ import annotations

import pytest

from meshcache.plugins.health import REST_S_MAX
from meshcache.tiers import rest as module
from meshcache.tiers.rest import Rest


def test_what_failed_is_tried_less_and_less_often_until_it_goes_right(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    rest, pauses = Rest(), list[float]()
    assert (rest.over, rest.failed) == (True, False)
    for _ in range(8):
        rest.begin()
        assert (rest.over, rest.failed) == (False, True)
        pauses.append(rest.until - now[0])
        now[0] = rest.until
        assert rest.over
    assert pauses == [1, 2, 4, 8, 16, 32, REST_S_MAX, REST_S_MAX]
    rest.went_right()
    assert (rest.over, rest.failed) == (True, False)
    rest.begin()
    assert rest.until - now[0] == 1
