"""`serve` starts nothing before everything was found good; the server itself is tested where it lives."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from meshcache_server.takeover.inheritance import Inheritance

from meshcache.admin.server import AdminServer
from meshcache.cli import serve as serve_module
from meshcache.config import AdminSettings, load
from meshcache.errors import ConfigError
from tests.cli.conftest import BusyNode, Meshcache

FREE = ("--set", "vip.shop.listen=127.0.0.1:0", "--set", "mesh.listen=127.0.0.1:0")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was handed to the server, which ends at once."""
    calls: list[tuple[Any, ...]] = []
    module = ModuleType("meshcache_server.main")
    module.run = lambda *arguments: calls.append(arguments)  # type: ignore[attr-defined]
    module.inherit = lambda _settings, _take_over: Inheritance({})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "meshcache_server.main", module)
    return calls


def test_the_server_gets_the_settings_and_what_it_needs_to_read_them_again(
    meshcache: Meshcache, served: list[tuple[Any, ...]]
) -> None:
    meshcache("init")
    assert meshcache("serve", "meshcache.toml", *FREE, "--set", "node.name=edge-2").code == 0
    ((settings, file, overrides, _hangups, _inheritance),) = served
    assert settings.node.name == "edge-2"
    assert load(file, overrides) == settings


def test_nothing_is_started_with_a_faulty_configuration(meshcache: Meshcache, served: list[tuple[Any, ...]]) -> None:
    meshcache("init")
    Path("mesh.key").chmod(0o644)
    ended = meshcache("serve", *FREE, "--set", "vip.shop.sharing.reach=wide")
    assert ended.code == 2
    assert "vip[0].sharing.reach" in ended.err
    ended = meshcache("serve", *FREE)
    assert ended.code == 2
    assert "mesh.key_file" in ended.err
    assert served == []


def test_a_file_without_an_address_has_nothing_to_serve(meshcache: Meshcache, served: list[tuple[Any, ...]]) -> None:
    Path("meshcache.toml").write_text('[[vip]]\nname = "shop"\n')
    ended = meshcache("serve")
    assert ended.code == 2
    assert "nothing to serve" in ended.err
    assert served == []


def test_a_node_of_this_name_that_runs_already_is_told_first(
    meshcache: Meshcache, served: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    meshcache("init")
    with AdminServer(BusyNode(), AdminSettings(socket=tmp_path / "state/edge-1/admin.sock")):
        ended = meshcache("serve", *FREE)
    assert ended.code == 2
    assert 'node "edge-1" is running already' in ended.err
    assert served == []


def test_what_the_server_finds_wrong_is_told_like_every_fault(
    meshcache: Meshcache, served: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise ConfigError(["vip[0].listen[0]: in use"])

    assert served == []
    monkeypatch.setattr(sys.modules["meshcache_server.main"], "run", refuse)
    meshcache("init")
    ended = meshcache("serve", *FREE)
    assert (ended.code, ended.err) == (2, "meshcache.toml: 1 fault:\n  vip[0].listen[0]: in use\n")


def test_without_the_server_one_clear_error(meshcache: Meshcache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_module, "find_spec", lambda _name: None)
    ended = meshcache("serve")
    assert ended.code == 1
    assert "the server is not installed here" in ended.err
