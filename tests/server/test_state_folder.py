"""Tests of `server.state_folder`."""

from __future__ import annotations

from pathlib import Path

import pytest
from meshcache_server.state_folder import StateFolder

from meshcache import ConfigError


def test_a_folder_has_one_node_at_a_time(tmp_path: Path) -> None:
    one, other = StateFolder(tmp_path / "state"), StateFolder(tmp_path / "state")
    one.hold()
    one.hold()
    with pytest.raises(ConfigError, match=r"node\.state_dir: .*state is in use by another node"):
        other.hold()
    one.release()
    other.hold()
    other.release()
    other.release()


def test_a_folder_that_cant_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"node\.state_dir: .*can't be had"):
        StateFolder(tmp_path / "file").hold()


def test_without_a_folder_there_is_nothing_to_hold() -> None:
    one, other = StateFolder(None), StateFolder(None)
    one.hold()
    other.hold()
    one.release()
