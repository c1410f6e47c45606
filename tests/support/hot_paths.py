"""Runs a test on both hot paths, the compiled one and Python's: import the fixture where tests ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from meshcache import hot
from meshcache.tls import contexts
from tests.tls.world import KINDS, DictPort, attach, server_context

_KNOWN: dict[str, tuple[dict[Any, Any], dict[Any, Any]]] = {"c": ({}, {}), "python": ({}, {})}
"""The callbacks made so far on each path: they are never freed, and proving an OpenSSL takes 5 ms."""


@pytest.fixture(params=["c", "python"])
def hot_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Nodes that are started and contexts that are attached in this test take this path."""
    name: str = request.param
    if name == "c" and hot.compiled is None:
        pytest.skip(hot.why_not)
    _take(name, monkeypatch)
    return name


@pytest.fixture(autouse=True, scope="module")
def python_path() -> Iterator[None]:
    """Everything in this module takes Python's path: what it weakens, or moves the clock of, is Python's."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _take("python", monkeypatch)
        yield


def _take(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "compiled", hot.compiled if name == "c" else None)
    known, unfit = _KNOWN[name]
    monkeypatch.setattr(contexts, "_callbacks", known)
    monkeypatch.setattr(contexts, "_unfit", unfit)
    if not known:
        _prove()


def _prove() -> None:
    """Have each OpenSSL proved, which it is when it is first met: one that fails stays refused as long as the process
    lives, and what a test weakens would be part of it.
    """
    for kind in KINDS:
        attach(server_context(kind), DictPort())
