"""Tests of what a pump asks where nothing is collected; `test_ports.py` has those of doors."""

from __future__ import annotations

import math
from typing import get_type_hints

import pytest

from meshcache.core.replication.publisher_fast_path import ReadyPush
from meshcache.runtime.pump.doors import Doors, NoDoors
from meshcache.runtime.vip_ports.ports import Ports


@pytest.mark.parametrize("doors", [NoDoors, Ports])
def test_both_kinds_have_every_method_with_its_types(doors: type) -> None:
    wanted = {name for name in vars(Doors) if not name.startswith("_")}
    assert wanted == {"publish_due", "collected_until", "note_unread"}
    for name in wanted:
        assert get_type_hints(getattr(doors, name)) == get_type_hints(getattr(Doors, name))


def test_without_doors_nothing_is_ever_due() -> None:
    ready: list[ReadyPush] = []
    assert not NoDoors().publish_due(1e9, ready)
    assert not ready
    assert NoDoors().collected_until() == math.inf
    NoDoors().note_unread(True)
