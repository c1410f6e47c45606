"""Tests of `meshcache.cli.server_steps`."""

from __future__ import annotations

import sys

import pytest
from meshcache_server.tls import streams

from meshcache.cli import server_steps as module
from meshcache.cli.server_steps import server_steps


def test_it_is_what_the_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_steps() == streams.path()
    monkeypatch.setattr(streams, "compiled", None)
    assert server_steps() == "python"
    monkeypatch.setattr(streams, "compiled", sys)
    assert server_steps() == "c"


def test_where_there_is_no_server_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    assert server_steps() is None
