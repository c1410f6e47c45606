from __future__ import annotations

import sys

import pytest
import uvloop
from meshcache_server.loops import loop_factory


def test_uvloop_is_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop_factory() is uvloop.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = loop_factory()()
    assert not isinstance(loop, uvloop.Loop)
    loop.close()
