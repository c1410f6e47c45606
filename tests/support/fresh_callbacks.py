"""A pytest plugin (``-p tests.support.fresh_callbacks``): each test has OpenSSL's callbacks made anew.

Mutation testing needs that: it asks which tests run a function, and one that makes a callback runs once in a process.
"""

from __future__ import annotations

import pytest

from meshcache.tls import contexts
from tests.support import hot_paths


@pytest.fixture(autouse=True)
def fresh_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget for the length of a test the callbacks of all tests before."""
    monkeypatch.setattr(contexts, "_callbacks", {})
    monkeypatch.setattr(contexts, "_unfit", {})
    monkeypatch.setitem(hot_paths._KNOWN, "python", ({}, {}))
