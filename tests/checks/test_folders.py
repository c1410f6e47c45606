"""Folders that can't be had are named before `serve` stumbles over them; nothing is left by looking."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshcache.checks.folders import nearest, why_not_taken
from tests.checks.pki import Pki, faults


def test_a_folder_that_is_there_or_can_be_made_is_fine_and_nothing_is_left(pki: Pki) -> None:
    before = sorted(pki.folder.iterdir())
    assert faults(pki, node={"state_dir": "new/state"}, admin={"socket": "other/admin.sock"}) == []
    assert why_not_taken(pki.folder) is None
    assert sorted(pki.folder.iterdir()) == before


def test_where_there_are_no_nameless_files_a_folder_is_tried_and_taken_away(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(pki.folder.iterdir())
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)  # to write to a folder is EISDIR, as on file systems without
    assert why_not_taken(pki.folder) is None
    assert sorted(pki.folder.iterdir()) == before


def test_where_no_folder_can_be_made_is_named(pki: Pki) -> None:
    if os.geteuid() != 0:
        pytest.skip("others may not write there at all")
    assert faults(pki, node={"state_dir": "/proc/foo"}, admin={"socket": "/proc/bar/admin.sock"}) == [
        "node.state_dir: /proc/foo can't be had: /proc takes no folders: no such file or directory",
        "admin.socket: /proc/bar can't be had: /proc takes no folders: no such file or directory",
    ]
    inside = {"node": {"state_dir": "/proc/foo"}, "admin": {"socket": "/proc/foo/admin.sock"}}
    assert len(faults(pki, **inside)) == 1, "it is one fault, and not two"


def test_a_file_in_the_place_of_a_folder_is_one_fault(pki: Pki) -> None:
    pki.write("file", b"")
    assert faults(pki, node={"state_dir": "file"}, admin={"socket": "file/admin.sock"}) == [
        "node.state_dir: file is not a folder"
    ]
    assert faults(pki, admin={"socket": "file/admin.sock"}) == ["admin.socket: file is not a folder"]


def test_the_nearest_folder_that_this_user_may_see_is_meant(folder: Path) -> None:
    assert nearest(folder / "a" / "b") == folder
    assert nearest(folder) == folder
