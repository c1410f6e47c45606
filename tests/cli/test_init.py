"""`init` writes a folder that is good to start from, and never over anything."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from meshcache.checks import address_faults, file_faults, file_notes
from meshcache.cli.starter import SECOND_NODE
from meshcache.config import load
from tests.cli.conftest import Meshcache

FILES = ("mesh.key", "meshcache.toml", "test.key", "test.pem")


def test_the_folder_is_good_for_check_as_it_is(meshcache: Meshcache, tmp_path: Path) -> None:
    ended = meshcache("init", tmp_path / "new/folder")
    assert ended.code == 0
    assert sorted(path.name for path in (tmp_path / "new/folder").iterdir()) == list(FILES)
    settings = load(tmp_path / "new/folder/meshcache.toml")
    assert file_faults(settings) == file_notes(settings) == []


def test_secrets_are_for_the_owner_only(meshcache: Meshcache, tmp_path: Path) -> None:
    meshcache("init")
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in FILES}
    assert modes["mesh.key"] == modes["test.key"] == 0o600


def test_the_second_node_has_nothing_in_common_that_it_must_not(meshcache: Meshcache, tmp_path: Path) -> None:
    meshcache("init")
    first, second = load(tmp_path / "meshcache.toml"), load(tmp_path / "meshcache.toml", SECOND_NODE)
    assert file_faults(second) == []
    for one, other in (
        (first.node.name, second.node.name),
        (first.node.state_dir, second.node.state_dir),
        (first.admin.socket, second.admin.socket),
        (first.mesh.listen, second.mesh.listen),
        (first.vips[0].listen, second.vips[0].listen),
    ):
        assert one != other
    assert (first.mesh.name, first.mesh.key_file) == (second.mesh.name, second.mesh.key_file)
    assert first.vips[0].group == second.vips[0].group
    assert second.mesh.listen in first.mesh.seeds
    assert first.mesh.listen in second.mesh.seeds
    assert not [fault for fault in address_faults(second) if "no address of this machine" in fault]


def test_what_it_says_to_type_is_what_the_second_node_needs(meshcache: Meshcache, tmp_path: Path) -> None:
    said = meshcache("init", tmp_path / "a b").out
    assert f"cd '{tmp_path}/a b'" in said
    for override in SECOND_NODE:
        assert f"--set {override}" in said
    assert "--socket state/edge-2/admin.sock" in said
    assert load(tmp_path / "a b/meshcache.toml", SECOND_NODE).admin.socket == tmp_path / "a b/state/edge-2/admin.sock"


@pytest.mark.parametrize("present", FILES)
def test_nothing_is_overwritten_and_nothing_else_is_written_then(
    meshcache: Meshcache, tmp_path: Path, present: str
) -> None:
    (tmp_path / present).write_text("precious")
    ended = meshcache("init")
    assert ended.code == 1
    assert present in ended.err
    assert [path.name for path in tmp_path.iterdir()] == [present]
    assert (tmp_path / present).read_text() == "precious"


def test_a_link_that_leads_nowhere_is_not_written_through_and_nothing_is_left(
    meshcache: Meshcache, tmp_path: Path
) -> None:
    (tmp_path / "test.key").symlink_to(tmp_path / "elsewhere")
    assert meshcache("init").code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["test.key"]


def test_a_folder_that_cannot_be_made_is_told(meshcache: Meshcache, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = meshcache("init", tmp_path / "file/folder")
    assert ended.code == 1
    assert "not a directory" in ended.err
