"""Hooks by name: entry points of installed packages, modules by their path, and why one can't be had."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from meshcache.hooks import Observer, SharingPolicy
from meshcache.plugins.loading import NotLoadedError, load_hook
from tests.plugins.hooks import Refuses, Sees


def test_by_a_modules_path_with_options() -> None:
    assert isinstance(load_hook("tests.plugins.hooks:Refuses", SharingPolicy, {}), Refuses)
    assert load_hook("tests.plugins.hooks:Sees", Observer, {"raises": True}).raises  # type: ignore[attr-defined]


def test_by_the_entry_point_of_a_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = folder / "shop_hooks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-hooks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshcache.hooks]\nsees = tests.plugins.hooks:Sees\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    assert isinstance(load_hook("sees", Observer, {}), Sees)
    with pytest.raises(NotLoadedError, match="sees"):
        load_hook("unknown", Observer, {})


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("tests.plugins.hooks:Nothing", {}, "AttributeError"),
        ("tests.plugins.nowhere:Sees", {}, "ModuleNotFoundError"),
        ("tests.plugins.hooks:Sees", {"loud": True}, "TypeError"),
        ("tests.plugins.hooks:Refuses", {}, "is no Observer"),
        ("nobody-offers-this", {}, "no package that is installed"),
    ],
)
def test_what_cant_be_had_is_said_in_words(name: str, options: dict[str, object], why: str) -> None:
    with pytest.raises(NotLoadedError, match=why):
        load_hook(name, Observer, options)
