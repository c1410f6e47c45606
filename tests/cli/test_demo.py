"""`demo` hands over to the demo and ends as it did; the demo itself is tested where it lives."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Meshcache


@pytest.mark.parametrize("arguments,keep,code", [((), False, 0), (("--keep",), True, 1)])
def test_the_demo_decides_the_exit_code(
    meshcache: Meshcache, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], keep: bool, code: int
) -> None:
    calls = []

    def play(*, keep: bool) -> int:
        calls.append(keep)
        return code

    monkeypatch.setattr("meshcache.demo.run", play)
    assert meshcache("demo", *arguments).code == code
    assert calls == [keep]
