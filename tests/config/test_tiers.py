"""The tables of tiers: defaults, limits, and where the disk's folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcache.config import Settings, load
from meshcache.errors import ConfigError


def test_there_is_none_by_default() -> None:
    assert Settings().tier.disk is None


def test_a_disk_lies_in_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('[node]\nname = "a"\n[tier.disk]\n')
    disk = load(tmp_path / "m.toml").tier.disk
    assert disk is not None
    assert (disk.path, disk.max_bytes, disk.key) == (tmp_path / "state" / "a" / "sessions", 512 * 2**20, "mesh")


def test_a_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('[tier.disk]\npath = "here"\nmax_bytes = "16MiB"\n')
    disk = load(tmp_path / "m.toml").tier.disk
    assert disk is not None
    assert disk.path == tmp_path / "here"


@pytest.mark.parametrize("line", ['max_bytes = "15MiB"', 'max_bytes = "2000000GiB"', 'key = "none"', "sync = true"])
def test_what_makes_no_sense_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.toml").write_text(f"[tier.disk]\n{line}\n")
    with pytest.raises(ConfigError, match=r"tier\.disk"):
        load(tmp_path / "m.toml")


def test_it_changes_with_a_restart_only() -> None:
    running, new = Settings(), Settings.model_validate({"tier": {"disk": {}}})
    assert new.without_restart(running).tier.disk is None


def test_without_a_state_folder_the_disk_needs_one_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text("[node]\nstate_dir = false\n[tier.disk]\n")
    with pytest.raises(ConfigError, match=r"tier: disk\.path is missing, and node\.state_dir is false"):
        load(tmp_path / "m.toml")
