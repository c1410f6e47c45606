"""A node that runs is known by its name, and by nothing less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from meshcache.cli.faults import fail, is_running
from meshcache.config import AdminSettings, NodeSettings, Settings
from tests.cli.conftest import BusyNode


def settings(socket: Path | None, name: str = "edge-1") -> Settings:
    return Settings(node=NodeSettings(name=name), admin=AdminSettings(socket=socket))


def test_a_node_runs_when_its_name_answers_at_its_socket(socket: Path) -> None:
    assert is_running(settings(socket))
    assert not is_running(settings(socket, name="edge-2"))
    assert not is_running(settings(socket.with_name("other.sock")))
    assert not is_running(settings(None))


@pytest.mark.parametrize("answer", [{}, {"node": {}}, {"node": None}])
def test_whatever_else_answers_is_no_node(
    node: BusyNode, socket: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    monkeypatch.setattr(node, "stats", lambda: answer)
    assert not is_running(settings(socket))


def test_faults_are_counted_and_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.exceptions.Exit) as caught:
        fail(Path("meshcache.toml"), ["a: b", "c: d"])
    assert caught.value.exit_code == 2
    assert capsys.readouterr() == ("", "meshcache.toml: 2 faults:\n  a: b\n  c: d\n")
